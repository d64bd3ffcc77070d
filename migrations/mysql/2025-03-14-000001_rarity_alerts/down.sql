DROP TRIGGER rarity_alert;
DROP FUNCTION alert_urgency;
DROP TABLE rarity_alerts;
