DROP TRIGGER observations_rarity ON birding.observations;
DROP FUNCTION birding.raise_rarity_alert();
DROP TABLE birding.rarity_alerts;
