-- Migration: Reports, and how a reviewer settles one
-- Created: 2025-02-24
-- depends: 010_audit

CREATE TABLE reports (
    id             BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    observation_id BIGINT UNSIGNED NOT NULL,
    reported_by    INT UNSIGNED NOT NULL,
    reason         ENUM('misidentified', 'sensitive', 'abuse') NOT NULL,
    state          ENUM('open', 'upheld', 'dismissed') NOT NULL DEFAULT 'open',
    resolved_by    INT UNSIGNED,
    KEY reports_open (state, observation_id),
    CONSTRAINT reports_observation FOREIGN KEY (observation_id)
        REFERENCES observations (id) ON DELETE CASCADE,
    CONSTRAINT reports_reporter FOREIGN KEY (reported_by) REFERENCES observers (id),
    CONSTRAINT reports_reviewer FOREIGN KEY (resolved_by) REFERENCES observers (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

-- The delimiter is for those who feed this file to the mysql client.
DELIMITER //

CREATE PROCEDURE settle_report(IN report BIGINT UNSIGNED, IN verdict VARCHAR(20), IN reviewer INT UNSIGNED)
MODIFIES SQL DATA
SQL SECURITY INVOKER
BEGIN
    UPDATE reports SET state = verdict, resolved_by = reviewer
     WHERE id = report AND state = 'open';

    IF ROW_COUNT() = 0 THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the report is not open';
    END IF;

    IF verdict = 'upheld' THEN
        UPDATE observations
          JOIN reports ON reports.observation_id = observations.id
           SET observations.state = 'rejected'
         WHERE reports.id = report;
    END IF;
END//

-- Three reports still open put an observation back in the reviewers' queue.
CREATE TRIGGER reports_reopen AFTER INSERT ON reports
FOR EACH ROW
BEGIN
    DECLARE voices INT DEFAULT 0;

    SELECT COUNT(DISTINCT reported_by) INTO voices
      FROM reports
     WHERE observation_id = NEW.observation_id AND state = 'open';

    IF voices >= 3 THEN
        UPDATE observations SET state = 'reported' WHERE id = NEW.observation_id;
    END IF;
END//

DELIMITER ;
