-- Migration: Observers, the people who keep a notebook
-- Created: 2025-01-08

-- The collation makes `Ana` and `ana` one handle, and one address.
CREATE TABLE observers (
    id        INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    handle    VARCHAR(40) NOT NULL,
    email     VARCHAR(190) NOT NULL,
    role      ENUM('watcher', 'reviewer', 'steward') NOT NULL DEFAULT 'watcher',
    joined_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    UNIQUE KEY observers_handle (handle),
    UNIQUE KEY observers_email (email)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;
