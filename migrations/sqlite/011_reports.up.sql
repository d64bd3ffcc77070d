-- Migration: Reports, and how a reviewer settles one
-- Created: 2025-02-24
-- depends: 010_audit

CREATE TABLE reports (
    id             INTEGER PRIMARY KEY,
    observation_id INTEGER NOT NULL REFERENCES observations (id) ON DELETE CASCADE,
    reported_by    INTEGER NOT NULL REFERENCES observers (id),
    reason         TEXT NOT NULL CHECK (reason IN ('misidentified', 'sensitive', 'abuse')),
    state          TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'upheld', 'dismissed')),
    resolved_by    INTEGER REFERENCES observers (id),
    CHECK ((state = 'open') = (resolved_by IS NULL))
) STRICT;

-- Saying it twice does not make it more urgent.
CREATE UNIQUE INDEX reports_open ON reports (observation_id, reported_by) WHERE state = 'open';

CREATE VIEW open_reports (id, observation_id, reason, verdict, reviewer) AS
SELECT id, observation_id, reason, NULL, NULL FROM reports WHERE state = 'open';

-- SQLite has no procedures. Writing a verdict and a reviewer into the view
-- settles the report and, when it is upheld, rejects the observation.
CREATE TRIGGER open_reports_settle INSTEAD OF UPDATE OF verdict ON open_reports
BEGIN
    UPDATE reports SET state = NEW.verdict, resolved_by = NEW.reviewer WHERE id = OLD.id;
    UPDATE observations SET state = 'rejected'
     WHERE id = OLD.observation_id AND NEW.verdict = 'upheld';
END;
