-- Migration: Notes are kept for two years
-- Created: 2025-11-20
-- Rollback: ALTER TABLE sightings MODIFY COLUMN notes REMOVE TTL;

ALTER TABLE sightings MODIFY COLUMN notes String TTL toDateTime(seen_at) + INTERVAL 2 YEAR;
