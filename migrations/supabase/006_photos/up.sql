CREATE TABLE birding.photos (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    observation_id bigint NOT NULL REFERENCES birding.observations ON DELETE CASCADE,
    path           text NOT NULL UNIQUE,
    is_cover       boolean NOT NULL DEFAULT false,
    exif           jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(exif) = 'object'),
    camera         text GENERATED ALWAYS AS (exif ->> 'camera') STORED
);

CREATE INDEX photos_observation ON birding.photos (observation_id);

-- Any number of photos, at most one cover.
CREATE UNIQUE INDEX photos_cover ON birding.photos (observation_id) WHERE is_cover;
