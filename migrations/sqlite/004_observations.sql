-- Migration: Observations, the heart of the notebook
-- Created: 2025-01-12
-- depends: 001_observers
-- depends: 002_species
-- depends: 003_sites

CREATE TABLE observations (
    id          INTEGER PRIMARY KEY,
    observer_id INTEGER NOT NULL REFERENCES observers (id) ON DELETE RESTRICT,
    species     TEXT NOT NULL REFERENCES species (code) ON UPDATE CASCADE,
    site        TEXT NOT NULL REFERENCES sites (code) ON UPDATE CASCADE,
    observed_on TEXT NOT NULL CHECK (observed_on IS date(observed_on)),
    year        INTEGER GENERATED ALWAYS AS (CAST(substr(observed_on, 1, 4) AS INTEGER)) VIRTUAL,
    individuals INTEGER NOT NULL DEFAULT 1 CHECK (individuals > 0),
    notes       TEXT,
    state       TEXT NOT NULL DEFAULT 'reported' CHECK (state IN ('reported', 'confirmed', 'rejected')),
    updated_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))
) STRICT;

CREATE INDEX observations_site ON observations (site, observed_on);
CREATE INDEX observations_species ON observations (species, year);

-- Reviewers ask for nothing but what is still open, a sliver of the table.
CREATE INDEX observations_to_review ON observations (observed_on) WHERE state = 'reported';

-- The WHEN clause leaves an explicit timestamp alone, and ends the recursion
-- on connections that have recursive triggers switched on.
CREATE TRIGGER observations_touch AFTER UPDATE ON observations
WHEN NEW.updated_at = OLD.updated_at
BEGIN
    UPDATE observations
       SET updated_at = strftime('%Y-%m-%dT%H:%M:%SZ', 'now')
     WHERE id = NEW.id;
END;
