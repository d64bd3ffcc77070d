-- Migration: Observations, the heart of the notebook
-- Created: 2025-01-12
-- depends: 001_observers
-- depends: 002_species
-- depends: 003_sites

CREATE TABLE observations (
    id          BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    observer_id INT UNSIGNED NOT NULL,
    species     VARCHAR(8) NOT NULL,
    site        VARCHAR(8) NOT NULL,
    observed_on DATE NOT NULL,
    year        SMALLINT GENERATED ALWAYS AS (YEAR(observed_on)) VIRTUAL,
    individuals INT NOT NULL DEFAULT 1,
    notes       TEXT,
    state       ENUM('reported', 'confirmed', 'rejected') NOT NULL DEFAULT 'reported',
    updated_at  DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
    CONSTRAINT observations_observer FOREIGN KEY (observer_id) REFERENCES observers (id),
    CONSTRAINT observations_species FOREIGN KEY (species) REFERENCES species (code) ON UPDATE CASCADE,
    CONSTRAINT observations_site FOREIGN KEY (site) REFERENCES sites (code) ON UPDATE CASCADE,
    CONSTRAINT observations_count CHECK (individuals > 0),
    -- There are no partial indexes here: the state leads, so that reviewers
    -- find what is still open in one short stretch.
    KEY observations_to_review (state, observed_on),
    KEY observations_by_species (species, year),
    KEY observations_by_site (site, observed_on)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;
