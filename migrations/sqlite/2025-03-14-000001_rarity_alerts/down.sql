DROP TRIGGER rarity_alert;
DROP TABLE rarity_alerts;
