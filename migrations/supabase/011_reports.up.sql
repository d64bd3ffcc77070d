-- Migration: Reports, and how a reviewer settles one
-- Created: 2025-02-24
-- depends: 010_audit

CREATE TYPE birding.report_reason AS ENUM ('misidentified', 'sensitive', 'abuse');
CREATE TYPE birding.report_state AS ENUM ('open', 'upheld', 'dismissed');

CREATE TABLE birding.reports (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    observation_id bigint NOT NULL REFERENCES birding.observations ON DELETE CASCADE,
    reported_by    uuid NOT NULL REFERENCES birding.observers,
    reason         birding.report_reason NOT NULL,
    state          birding.report_state NOT NULL DEFAULT 'open',
    resolved_by    uuid REFERENCES birding.observers,
    CHECK ((state = 'open') = (resolved_by IS NULL))
);

-- Saying it twice does not make it more urgent.
CREATE UNIQUE INDEX reports_open ON birding.reports (observation_id, reported_by) WHERE state = 'open';

CREATE PROCEDURE birding.settle_report(report bigint, verdict birding.report_state, reviewer uuid)
LANGUAGE plpgsql SET search_path = '' AS $settle$
DECLARE
    subject bigint;
BEGIN
    UPDATE birding.reports
       SET state = verdict, resolved_by = reviewer
     WHERE id = report AND state = 'open'
    RETURNING observation_id INTO subject;

    IF NOT FOUND THEN
        RAISE EXCEPTION 'report % is not open', report
              USING HINT = 'somebody else may have settled it';
    END IF;

    IF verdict = 'upheld' THEN
        UPDATE birding.observations SET state = 'rejected' WHERE id = subject;
    END IF;
END;
$settle$;
