SELECT 1;
=== 002_b/metadata.toml
title = "users"
created = 2025-01-08
depends = ["001_a"]
env = ["test"]
transaction = false
=== 002_b/up.sql
-- depends: 001_a
CREATE INDEX CONCURRENTLY b ON a (b);
=== 002_b/down.sql
-- no-transaction
DROP INDEX b;
