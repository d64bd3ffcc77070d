-- Migration: Who decided what about an observation
-- Created: 2025-02-17

CREATE TABLE audit (
    id             BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    -- No foreign key: the entry outlives what it speaks of.
    observation_id BIGINT UNSIGNED NOT NULL,
    action         ENUM('changed', 'deleted') NOT NULL,
    detail         JSON NOT NULL,
    happened_at    DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    KEY audit_observation (observation_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

-- No DELIMITER here: it is a command of the mysql client, and the server never
-- sees it. The end of a body is found by reading it.
CREATE TRIGGER audit_observation_changed AFTER UPDATE ON observations
FOR EACH ROW
BEGIN
    DECLARE verdict VARCHAR(20);

    IF NEW.state <> OLD.state OR NEW.species <> OLD.species OR NEW.individuals <> OLD.individuals THEN
        SET verdict = CASE
            WHEN NEW.state = OLD.state THEN 'corrected'
            ELSE NEW.state
        END;
        INSERT INTO audit (observation_id, action, detail)
        VALUES (NEW.id, 'changed', JSON_OBJECT(
            'verdict',     verdict,
            'species',     JSON_ARRAY(OLD.species, NEW.species),
            'individuals', JSON_ARRAY(OLD.individuals, NEW.individuals)));
    END IF;
END;

CREATE TRIGGER audit_observation_deleted AFTER DELETE ON observations
FOR EACH ROW
    INSERT INTO audit (observation_id, action, detail)
    VALUES (OLD.id, 'deleted', JSON_OBJECT('species', OLD.species, 'site', OLD.site));

-- What is written stays written.
CREATE TRIGGER audit_is_final BEFORE UPDATE ON audit
FOR EACH ROW
BEGIN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'an audit entry is never changed';
END;
