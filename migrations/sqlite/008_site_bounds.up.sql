-- Migration: Sites lie on this planet
-- Created: 2025-02-03
-- depends: 003_sites

-- SQLite adds no check to a table that exists: the table is built anew. With
-- foreign keys on, DROP TABLE would first delete every site, and observations
-- stand in the way of that.
PRAGMA foreign_keys = OFF;

CREATE TABLE sites_rebuilt (
    code      TEXT NOT NULL PRIMARY KEY,
    name      TEXT NOT NULL,
    country   TEXT NOT NULL CHECK (length(country) = 2),
    latitude  REAL NOT NULL CHECK (latitude BETWEEN -90 AND 90),
    longitude REAL NOT NULL CHECK (longitude BETWEEN -180 AND 180)
) STRICT;

INSERT INTO sites_rebuilt (code, name, country, latitude, longitude)
SELECT code, name, country, latitude, longitude FROM sites;

DROP TABLE sites;
ALTER TABLE sites_rebuilt RENAME TO sites;

-- The index went with the old table.
CREATE INDEX sites_country ON sites (country);

PRAGMA foreign_keys = ON;
