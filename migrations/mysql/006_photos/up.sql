CREATE TABLE photos (
    id             BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    observation_id BIGINT UNSIGNED NOT NULL,
    path           VARCHAR(255) NOT NULL,
    is_cover       BOOLEAN NOT NULL DEFAULT FALSE,
    exif           JSON NOT NULL,
    camera         VARCHAR(80) GENERATED ALWAYS AS (JSON_UNQUOTE(JSON_EXTRACT(exif, '$.camera'))) VIRTUAL,
    -- Any number of photos, at most one cover: a unique key lets NULL pass,
    -- so only covers meet in it.
    cover_of       BIGINT UNSIGNED GENERATED ALWAYS AS (IF(is_cover, observation_id, NULL)) VIRTUAL,
    UNIQUE KEY photos_path (path),
    UNIQUE KEY photos_cover (cover_of),
    CONSTRAINT photos_observation FOREIGN KEY (observation_id)
        REFERENCES observations (id) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;
