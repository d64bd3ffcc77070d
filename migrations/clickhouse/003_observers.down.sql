ALTER TABLE sightings DROP INDEX sightings_by_observer, DROP COLUMN observer;
