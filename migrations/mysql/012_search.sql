-- Migration: Full-text search over the notes
-- Created: 2025-03-03
-- Rollback: DROP INDEX observations_search ON observations;

CREATE FULLTEXT INDEX observations_search ON observations (notes);
