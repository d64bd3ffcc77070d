-- Migration: Sites where people watch
-- Created: 2025-01-09
-- Rollback: DROP TABLE sites;

CREATE TABLE sites (
    code      VARCHAR(8) NOT NULL PRIMARY KEY,
    name      VARCHAR(120) NOT NULL,
    country   CHAR(2) NOT NULL,
    latitude  DECIMAL(8, 5) NOT NULL,
    longitude DECIMAL(8, 5) NOT NULL,
    KEY sites_country (country)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;
