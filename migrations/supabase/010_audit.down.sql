DROP TRIGGER comments_audit ON birding.comments;
DROP TRIGGER observations_audit ON birding.observations;
DROP FUNCTION birding_audit.record();
DROP TABLE birding_audit.entries;
DROP TYPE birding_audit.action;
DROP SCHEMA birding_audit;
