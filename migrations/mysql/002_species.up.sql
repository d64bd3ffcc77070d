-- Migration: Species and their place on the Red List
-- Created: 2025-01-08

CREATE TABLE species (
    code            VARCHAR(8) NOT NULL PRIMARY KEY,
    scientific_name VARCHAR(80) NOT NULL,
    english_name    VARCHAR(80) NOT NULL,
    -- Declared from safe to lost: an ENUM sorts by its order, not by its letters.
    status          ENUM('LC', 'NT', 'VU', 'EN', 'CR') NOT NULL DEFAULT 'LC'
                    COMMENT 'Category of the IUCN Red List',
    genus           VARCHAR(80) GENERATED ALWAYS AS (SUBSTRING_INDEX(scientific_name, ' ', 1)) STORED,
    UNIQUE KEY species_scientific_name (scientific_name),
    KEY species_genus (genus)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;
