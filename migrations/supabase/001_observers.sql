-- Migration: Observers, the people who keep a notebook
-- Created: 2025-01-08

-- A schema of our own: `public` belongs to everybody, and on a hosted project
-- whatever lands there is published at once.
CREATE SCHEMA birding;

CREATE TYPE birding.observer_role AS ENUM ('watcher', 'reviewer', 'steward');

CREATE TABLE birding.observers (
    -- The subject of the token that the person signs in with.
    id        uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    handle    text NOT NULL UNIQUE CHECK (handle = lower(handle)),
    email     text NOT NULL,
    role      birding.observer_role NOT NULL DEFAULT 'watcher',
    joined_at timestamptz NOT NULL DEFAULT now()
);

-- One account for each address, however its owner types it.
CREATE UNIQUE INDEX observers_email ON birding.observers (lower(email));
