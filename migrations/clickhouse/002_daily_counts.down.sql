DROP VIEW daily_counts_feed;
DROP TABLE daily_counts;
