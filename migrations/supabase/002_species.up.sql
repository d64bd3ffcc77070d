-- Migration: Species and their place on the Red List
-- Created: 2025-01-08

-- Declared from safe to lost, so that `status >= 'EN'` means what it says.
CREATE TYPE birding.conservation_status AS ENUM ('LC', 'NT', 'VU', 'EN', 'CR');

CREATE TABLE birding.species (
    code            text PRIMARY KEY,
    scientific_name text NOT NULL UNIQUE CHECK (scientific_name LIKE '_% _%'),
    english_name    text NOT NULL,
    status          birding.conservation_status NOT NULL DEFAULT 'LC',
    genus           text NOT NULL GENERATED ALWAYS AS (split_part(scientific_name, ' ', 1)) STORED
);

CREATE INDEX species_genus ON birding.species (genus);

COMMENT ON COLUMN birding.species.status IS 'Category of the IUCN Red List';
