-- Migration: Sites where people watch
-- Created: 2025-01-09
-- Rollback: DROP TABLE birding.sites;

CREATE TABLE birding.sites (
    code      text PRIMARY KEY,
    name      text NOT NULL,
    country   char(2) NOT NULL,
    latitude  double precision NOT NULL,
    longitude double precision NOT NULL
);

CREATE INDEX sites_country ON birding.sites (country);
