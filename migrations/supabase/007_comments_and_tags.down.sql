DROP TABLE birding.observation_tags;
DROP TABLE birding.tags;
DROP DOMAIN birding.tag_name;
DROP TABLE birding.comments;
