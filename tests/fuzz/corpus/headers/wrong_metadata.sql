=== 002_b/metadata.toml
titel = 'a'
transaction = 'no'
depends = ['ü', 3, "002_b", "009_z"]
created = true
env = [
=== 002_b/up.sql
-- Migration: b
SELECT 1;
