DROP TRIGGER audit_observation_deleted;
DROP TRIGGER audit_observation_changed;
DROP TABLE audit;
