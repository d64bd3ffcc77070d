-- The table as 003_sites made it, by the same road back.
PRAGMA foreign_keys = OFF;

CREATE TABLE sites_rebuilt (
    code      TEXT NOT NULL PRIMARY KEY,
    name      TEXT NOT NULL,
    country   TEXT NOT NULL CHECK (length(country) = 2),
    latitude  REAL NOT NULL,
    longitude REAL NOT NULL
) STRICT;

INSERT INTO sites_rebuilt (code, name, country, latitude, longitude)
SELECT code, name, country, latitude, longitude FROM sites;

DROP TABLE sites;
ALTER TABLE sites_rebuilt RENAME TO sites;
CREATE INDEX sites_country ON sites (country);

PRAGMA foreign_keys = ON;
