-- Migration: Sightings as they come in from the stations, one row for each
-- Created: 2025-09-02

CREATE TABLE sightings
(
    seen_at     DateTime64(3, 'UTC'),
    station     LowCardinality(String),
    species     LowCardinality(String),
    individuals UInt16,
    notes       String
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(seen_at)
ORDER BY (species, station, seen_at);
