DROP TABLE birding.observations;
DROP FUNCTION birding.touch();
DROP TYPE birding.observation_state;
