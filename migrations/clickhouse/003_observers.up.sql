-- Migration: Who saw it, as a hash: the notebook knows the name
-- Created: 2025-10-01

ALTER TABLE sightings
    ADD COLUMN observer UInt64 DEFAULT 0 COMMENT 'cityHash64 of the handle' AFTER station,
    ADD INDEX sightings_by_observer observer TYPE bloom_filter GRANULARITY 4;
