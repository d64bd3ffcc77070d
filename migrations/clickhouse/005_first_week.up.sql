-- Migration: The first week, from the paper notebook; 'x;y' is a station
-- Created: 2025-11-21
-- depends: 003_observers

INSERT INTO sightings (seen_at, station, observer, species, individuals, notes) VALUES
    ('2025-09-01 05:12:00', 'x;y', cityHash64('ana'), 'whimbrel', 14, 'heading south; calling'),
    ('2025-09-02 06:40:30', 'x;y', cityHash64('ana'), 'curlew', 3, '');

INSERT INTO sightings (seen_at, station, observer, species, individuals, notes)
SELECT seen_at + INTERVAL 1 DAY, station, observer, species, individuals, 'counted again' FROM sightings;
