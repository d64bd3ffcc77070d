-- Migration: Comments and tags
-- Created: 2025-01-27

-- The outer BEGIN and COMMIT let psql run this file too, all or nothing. Here
-- they are one with the transaction that every migration gets.
BEGIN;

CREATE TABLE birding.comments (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    observation_id bigint NOT NULL REFERENCES birding.observations ON DELETE CASCADE,
    observer_id    uuid NOT NULL REFERENCES birding.observers,
    -- An answer goes when the comment goes that it answers.
    answers        bigint REFERENCES birding.comments ON DELETE CASCADE,
    body           text NOT NULL CHECK (btrim(body) <> ''),
    written_at     timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX comments_observation ON birding.comments (observation_id, written_at);

CREATE DOMAIN birding.tag_name AS text CHECK (VALUE ~ '^[a-z0-9]+(-[a-z0-9]+)*$');

CREATE TABLE birding.tags (
    name birding.tag_name PRIMARY KEY
);

CREATE TABLE birding.observation_tags (
    observation_id bigint NOT NULL REFERENCES birding.observations ON DELETE CASCADE,
    tag            birding.tag_name NOT NULL REFERENCES birding.tags ON UPDATE CASCADE,
    PRIMARY KEY (tag, observation_id)
);

INSERT INTO birding.tags (name) VALUES ('ringed'), ('juvenile'), ('flyover'), ('heard-only');

COMMIT;
