-- Migration: Full-text search over the notes
-- Created: 2025-03-03
-- no-transaction

-- The table is busy, and CONCURRENTLY keeps it writable while the index grows;
-- it refuses to run inside a transaction. No IF NOT EXISTS: a build that broke
-- off leaves an invalid index behind, and that must not pass for this one.
CREATE INDEX CONCURRENTLY observations_search
    ON birding.observations USING gin (to_tsvector('english', notes));
