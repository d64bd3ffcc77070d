-- Migration: Who decided what about an observation
-- Created: 2025-02-17

CREATE TABLE audit (
    id             INTEGER PRIMARY KEY,
    -- No foreign key: the entry outlives what it speaks of.
    observation_id INTEGER NOT NULL,
    action         TEXT NOT NULL CHECK (action IN ('changed', 'deleted')),
    detail         TEXT NOT NULL CHECK (json_valid(detail)),
    happened_at    TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))
) STRICT;

CREATE INDEX audit_observation ON audit (observation_id);

CREATE TRIGGER audit_observation_changed AFTER UPDATE OF species, individuals, state ON observations
BEGIN
    INSERT INTO audit (observation_id, action, detail)
    VALUES (NEW.id, 'changed', json_object(
        'species',     json_array(OLD.species, NEW.species),
        'individuals', json_array(OLD.individuals, NEW.individuals),
        'state',       json_array(OLD.state, NEW.state)));
END;

CREATE TRIGGER audit_observation_deleted AFTER DELETE ON observations
BEGIN
    INSERT INTO audit (observation_id, action, detail)
    VALUES (OLD.id, 'deleted', json_object(
        'species', OLD.species, 'site', OLD.site, 'observed_on', OLD.observed_on));
END;

-- What is written stays written.
CREATE TRIGGER audit_is_final BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'an audit entry is never changed');
END;
