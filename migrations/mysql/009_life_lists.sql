-- Migration: Life lists and the totals of a site
-- Created: 2025-02-10

-- A life list counts a species once, on the day it was first seen.
CREATE SQL SECURITY INVOKER VIEW life_lists (observer_id, species, first_seen, times_seen) AS
SELECT observer_id, species, MIN(observed_on), COUNT(*)
  FROM observations
 WHERE state = 'confirmed'
 GROUP BY observer_id, species;

CREATE SQL SECURITY INVOKER VIEW site_totals (site, name, year, species_seen, individuals) AS
SELECT sites.code, sites.name, observations.year,
       COUNT(DISTINCT observations.species), SUM(observations.individuals)
  FROM sites
  JOIN observations ON observations.site = sites.code
 WHERE observations.state = 'confirmed'
 GROUP BY sites.code, sites.name, observations.year;
