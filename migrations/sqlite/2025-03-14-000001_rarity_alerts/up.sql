CREATE TABLE rarity_alerts (
    observation_id INTEGER PRIMARY KEY REFERENCES observations (id) ON DELETE CASCADE,
    urgency        TEXT NOT NULL CHECK (urgency IN ('today', 'now')),
    sent_at        TEXT
) STRICT;

-- The mailer asks for what is still to be sent.
CREATE INDEX rarity_alerts_unsent ON rarity_alerts (urgency) WHERE sent_at IS NULL;

CREATE TRIGGER rarity_alert AFTER INSERT ON observations
BEGIN
    INSERT INTO rarity_alerts (observation_id, urgency)
    SELECT NEW.id, CASE status WHEN 'CR' THEN 'now' ELSE 'today' END
      FROM species
     WHERE code = NEW.species AND status IN ('EN', 'CR');
END;
