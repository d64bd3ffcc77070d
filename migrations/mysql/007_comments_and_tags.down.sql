DROP TABLE observation_tags;
DROP TABLE tags;
DROP TABLE comments;
