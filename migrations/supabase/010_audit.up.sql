-- Migration: Who changed what
-- Created: 2025-02-17

-- Beside the data and not among it: nothing that may read `birding` may
-- read this for that reason alone.
CREATE SCHEMA birding_audit;

CREATE TYPE birding_audit.action AS ENUM ('insert', 'update', 'delete');

CREATE TABLE birding_audit.entries (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    table_name  text NOT NULL,
    -- No foreign key: the entry outlives what it speaks of.
    row_id      bigint NOT NULL,
    action      birding_audit.action NOT NULL,
    before      jsonb,
    after       jsonb,
    happened_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE INDEX entries_row ON birding_audit.entries (table_name, row_id);

-- Runs as its owner, because those who change a row may not write here; with
-- an empty search_path, because then nobody chooses what its names mean.
CREATE FUNCTION birding_audit.record() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $record$
BEGIN
    INSERT INTO birding_audit.entries (table_name, row_id, action, before, after)
    VALUES (TG_TABLE_NAME, coalesce(NEW.id, OLD.id), lower(TG_OP)::birding_audit.action,
            to_jsonb(OLD), to_jsonb(NEW));
    RETURN NULL;
END;
$record$;

CREATE TRIGGER observations_audit AFTER INSERT OR UPDATE OR DELETE ON birding.observations
FOR EACH ROW EXECUTE FUNCTION birding_audit.record();

CREATE TRIGGER comments_audit AFTER UPDATE OR DELETE ON birding.comments
FOR EACH ROW EXECUTE FUNCTION birding_audit.record();
