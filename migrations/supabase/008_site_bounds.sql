-- Migration: Sites lie on this planet
-- Created: 2025-02-03
-- Rollback: ALTER TABLE birding.sites DROP CONSTRAINT sites_on_this_planet;
-- depends: 003_sites

ALTER TABLE birding.sites ADD CONSTRAINT sites_on_this_planet
    CHECK (latitude BETWEEN -90 AND 90 AND longitude BETWEEN -180 AND 180);
