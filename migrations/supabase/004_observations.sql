-- Migration: Observations, the heart of the notebook
-- Created: 2025-01-12
-- depends: 001_observers
-- depends: 002_species
-- depends: 003_sites

CREATE TYPE birding.observation_state AS ENUM ('reported', 'confirmed', 'rejected');

CREATE TABLE birding.observations (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    observer_id uuid NOT NULL REFERENCES birding.observers ON DELETE RESTRICT,
    species     text NOT NULL REFERENCES birding.species ON UPDATE CASCADE,
    site        text NOT NULL REFERENCES birding.sites ON UPDATE CASCADE,
    observed_on date NOT NULL,
    year        integer GENERATED ALWAYS AS (extract(year FROM observed_on)::integer) STORED,
    individuals integer NOT NULL DEFAULT 1 CHECK (individuals > 0),
    notes       text,
    state       birding.observation_state NOT NULL DEFAULT 'reported',
    updated_at  timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX observations_observer ON birding.observations (observer_id);
CREATE INDEX observations_site ON birding.observations (site, observed_on);
CREATE INDEX observations_species ON birding.observations (species, year);

-- Reviewers ask for nothing but what is still open, a sliver of the table.
CREATE INDEX observations_to_review ON birding.observations (observed_on) WHERE state = 'reported';

CREATE FUNCTION birding.touch() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS $touch$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END;
$touch$;

CREATE TRIGGER observations_touch BEFORE UPDATE ON birding.observations
FOR EACH ROW EXECUTE FUNCTION birding.touch();
