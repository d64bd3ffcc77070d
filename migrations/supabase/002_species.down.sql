DROP TABLE birding.species;
DROP TYPE birding.conservation_status;
