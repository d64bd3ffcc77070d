DROP TABLE birding.photos;
