-- Migration: Life lists and the totals of a site
-- Created: 2025-02-10

-- A life list counts a species once, on the day it was first seen. The view
-- reads as the person who asks, so that row level security holds behind it.
CREATE VIEW birding.life_lists WITH (security_invoker = true) AS
SELECT observer_id, species, min(observed_on) AS first_seen, count(*) AS times_seen
  FROM birding.observations
 WHERE state = 'confirmed'
 GROUP BY observer_id, species;

-- Totals change slowly and cost a scan: computed once, refreshed at night.
CREATE MATERIALIZED VIEW birding.site_totals AS
SELECT sites.code AS site, sites.name, observations.year,
       count(DISTINCT observations.species) AS species_seen,
       sum(observations.individuals) AS individuals
  FROM birding.sites
  JOIN birding.observations ON observations.site = sites.code
 WHERE observations.state = 'confirmed'
 GROUP BY sites.code, observations.year;

-- REFRESH … CONCURRENTLY, which locks no reader out, asks for a unique index.
CREATE UNIQUE INDEX site_totals_key ON birding.site_totals (site, year);
