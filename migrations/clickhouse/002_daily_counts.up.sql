-- Migration: Counts by day, kept up to date while sightings come in
-- Created: 2025-09-09
-- depends: 001_sightings

CREATE TABLE daily_counts
(
    day         Date,
    species     LowCardinality(String),
    sightings   UInt64,
    individuals UInt64
)
ENGINE = SummingMergeTree
ORDER BY (species, day);

CREATE MATERIALIZED VIEW daily_counts_feed TO daily_counts AS
SELECT toDate(seen_at) AS day, species, count() AS sightings, sum(individuals) AS individuals
FROM sightings
GROUP BY day, species;
