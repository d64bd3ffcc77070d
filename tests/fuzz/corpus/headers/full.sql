-- Migration: Users, all of them
-- Created: 2025-01-08
-- env: test, dev
-- Rollback: DROP TABLE b;
--   rollback:   DROP TABLE a;
CREATE TABLE a (b int);
-- Rollback: never
