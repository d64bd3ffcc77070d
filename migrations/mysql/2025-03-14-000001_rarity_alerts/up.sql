CREATE TABLE rarity_alerts (
    observation_id BIGINT UNSIGNED NOT NULL PRIMARY KEY,
    urgency        ENUM('today', 'now') NOT NULL,
    sent_at        DATETIME,
    -- The mailer asks for what is still to be sent.
    KEY rarity_alerts_unsent (sent_at, urgency),
    CONSTRAINT rarity_alerts_observation FOREIGN KEY (observation_id)
        REFERENCES observations (id) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

CREATE FUNCTION alert_urgency(status VARCHAR(2)) RETURNS VARCHAR(5)
DETERMINISTIC NO SQL
BEGIN
    CASE status
        WHEN 'CR' THEN RETURN 'now';
        WHEN 'EN' THEN RETURN 'today';
        ELSE RETURN NULL;
    END CASE;
END;

CREATE TRIGGER rarity_alert AFTER INSERT ON observations
FOR EACH ROW
    INSERT INTO rarity_alerts (observation_id, urgency)
    SELECT NEW.id, alert_urgency(status)
      FROM species
     WHERE code = NEW.species AND alert_urgency(status) IS NOT NULL;
