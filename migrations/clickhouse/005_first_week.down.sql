ALTER TABLE sightings DELETE WHERE station = 'x;y' SETTINGS mutations_sync = 1;
TRUNCATE TABLE daily_counts;
