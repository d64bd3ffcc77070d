CREATE TABLE photos (
    id             INTEGER PRIMARY KEY,
    observation_id INTEGER NOT NULL REFERENCES observations (id) ON DELETE CASCADE,
    path           TEXT NOT NULL UNIQUE,
    is_cover       INTEGER NOT NULL DEFAULT 0 CHECK (is_cover IN (0, 1)),
    exif           TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(exif)),
    camera         TEXT GENERATED ALWAYS AS (json_extract(exif, '$.camera')) VIRTUAL
) STRICT;

CREATE INDEX photos_observation ON photos (observation_id);

-- Any number of photos, at most one cover.
CREATE UNIQUE INDEX photos_cover ON photos (observation_id) WHERE is_cover = 1;
