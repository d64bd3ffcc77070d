CREATE TABLE birding.rarity_alerts (
    observation_id bigint PRIMARY KEY REFERENCES birding.observations ON DELETE CASCADE,
    urgent         boolean NOT NULL,
    sent_at        timestamptz
);

-- No policy: through the API the table is empty for everybody. The mailer
-- connects as the owner, and asks for what is still to be sent.
ALTER TABLE birding.rarity_alerts ENABLE ROW LEVEL SECURITY;
CREATE INDEX rarity_alerts_unsent ON birding.rarity_alerts (urgent) WHERE sent_at IS NULL;

CREATE FUNCTION birding.raise_rarity_alert() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $alert$
BEGIN
    INSERT INTO birding.rarity_alerts (observation_id, urgent)
    SELECT NEW.id, status = 'CR'
      FROM birding.species
     WHERE code = NEW.species AND status >= 'EN';

    IF FOUND THEN
        -- Delivered when the transaction commits, and never if it does not.
        PERFORM pg_notify('rarity_alerts', NEW.id::text);
    END IF;
    RETURN NULL;
END;
$alert$;

CREATE TRIGGER observations_rarity AFTER INSERT ON birding.observations
FOR EACH ROW EXECUTE FUNCTION birding.raise_rarity_alert();
