-- Migration: Comments and tags
-- Created: 2025-01-27

CREATE TABLE comments (
    id             BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    observation_id BIGINT UNSIGNED NOT NULL,
    observer_id    INT UNSIGNED NOT NULL,
    answers        BIGINT UNSIGNED,
    body           TEXT NOT NULL,
    written_at     DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    KEY comments_by_observation (observation_id, written_at),
    CONSTRAINT comments_observation FOREIGN KEY (observation_id)
        REFERENCES observations (id) ON DELETE CASCADE,
    CONSTRAINT comments_observer FOREIGN KEY (observer_id) REFERENCES observers (id),
    -- An answer goes when the comment goes that it answers.
    CONSTRAINT comments_answers FOREIGN KEY (answers) REFERENCES comments (id) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

CREATE TABLE tags (
    name VARCHAR(40) NOT NULL PRIMARY KEY,
    CONSTRAINT tags_name CHECK (name REGEXP '^[a-z0-9]+(-[a-z0-9]+)*$')
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

CREATE TABLE observation_tags (
    observation_id BIGINT UNSIGNED NOT NULL,
    tag            VARCHAR(40) NOT NULL,
    PRIMARY KEY (tag, observation_id),
    KEY observation_tags_observation (observation_id),
    CONSTRAINT observation_tags_observation FOREIGN KEY (observation_id)
        REFERENCES observations (id) ON DELETE CASCADE,
    CONSTRAINT observation_tags_tag FOREIGN KEY (tag) REFERENCES tags (name) ON UPDATE CASCADE
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

INSERT INTO tags (name) VALUES ('ringed'), ('juvenile'), ('flyover'), ('heard-only');
