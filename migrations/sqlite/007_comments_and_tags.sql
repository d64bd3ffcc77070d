-- Migration: Comments and tags
-- Created: 2025-01-27

CREATE TABLE comments (
    id             INTEGER PRIMARY KEY,
    observation_id INTEGER NOT NULL REFERENCES observations (id) ON DELETE CASCADE,
    observer_id    INTEGER NOT NULL REFERENCES observers (id),
    -- An answer goes when the comment goes that it answers.
    answers        INTEGER REFERENCES comments (id) ON DELETE CASCADE,
    body           TEXT NOT NULL CHECK (trim(body) <> ''),
    written_at     TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))
) STRICT;

CREATE INDEX comments_observation ON comments (observation_id, written_at);

CREATE TABLE tags (
    name TEXT NOT NULL PRIMARY KEY CHECK (name NOT GLOB '*[^a-z0-9-]*')
) STRICT, WITHOUT ROWID;

CREATE TABLE observation_tags (
    observation_id INTEGER NOT NULL REFERENCES observations (id) ON DELETE CASCADE,
    tag            TEXT NOT NULL REFERENCES tags (name) ON UPDATE CASCADE,
    PRIMARY KEY (tag, observation_id)
) STRICT, WITHOUT ROWID;

INSERT INTO tags (name) VALUES ('ringed'), ('juvenile'), ('flyover'), ('heard-only');
