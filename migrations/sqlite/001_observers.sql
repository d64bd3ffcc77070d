-- Migration: Observers, the people who keep a notebook
-- Created: 2025-01-08

CREATE TABLE observers (
    id        INTEGER PRIMARY KEY,
    handle    TEXT NOT NULL UNIQUE CHECK (handle = lower(handle)),
    email     TEXT NOT NULL,
    role      TEXT NOT NULL DEFAULT 'watcher' CHECK (role IN ('watcher', 'reviewer', 'steward')),
    joined_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))
) STRICT;

-- One account for each address, however its owner types it.
CREATE UNIQUE INDEX observers_email ON observers (lower(email));
