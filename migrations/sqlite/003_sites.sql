-- Migration: Sites where people watch
-- Created: 2025-01-09
-- Rollback: DROP TABLE sites;

CREATE TABLE sites (
    code      TEXT NOT NULL PRIMARY KEY,
    name      TEXT NOT NULL,
    country   TEXT NOT NULL CHECK (length(country) = 2),
    latitude  REAL NOT NULL,
    longitude REAL NOT NULL
) STRICT;

CREATE INDEX sites_country ON sites (country);
