-- Migration: Species and their place on the Red List
-- Created: 2025-01-08

CREATE TABLE species (
    code            TEXT NOT NULL PRIMARY KEY,
    scientific_name TEXT NOT NULL UNIQUE CHECK (instr(scientific_name, ' ') > 1),
    english_name    TEXT NOT NULL,
    -- SQLite has no enum types; the list of the IUCN is closed, so a check serves.
    status          TEXT NOT NULL DEFAULT 'LC' CHECK (status IN ('LC', 'NT', 'VU', 'EN', 'CR')),
    genus           TEXT NOT NULL GENERATED ALWAYS AS
                        (substr(scientific_name, 1, instr(scientific_name, ' ') - 1)) STORED
) STRICT, WITHOUT ROWID;

CREATE INDEX species_genus ON species (genus);
