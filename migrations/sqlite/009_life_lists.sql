-- Migration: Life lists and the totals of a site
-- Created: 2025-02-10

-- A life list counts a species once, on the day it was first seen.
CREATE VIEW life_lists (observer_id, species, first_seen, times_seen) AS
SELECT observer_id, species, min(observed_on), count(*)
  FROM observations
 WHERE state = 'confirmed'
 GROUP BY observer_id, species;

CREATE VIEW site_totals (site, name, year, species_seen, individuals) AS
SELECT sites.code, sites.name, observations.year,
       count(DISTINCT observations.species), sum(observations.individuals)
  FROM sites
  JOIN observations ON observations.site = sites.code
 WHERE observations.state = 'confirmed'
 GROUP BY sites.code, observations.year;
