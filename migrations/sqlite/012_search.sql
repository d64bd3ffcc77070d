-- Migration: Full-text search over the notes
-- Created: 2025-03-03

-- The index holds no copy of the notes: it reads them from `observations`.
CREATE VIRTUAL TABLE observation_search USING fts5 (
    notes,
    content = 'observations',
    content_rowid = 'id',
    tokenize = 'porter unicode61'
);

CREATE TRIGGER search_inserted AFTER INSERT ON observations
BEGIN
    INSERT INTO observation_search (rowid, notes) VALUES (NEW.id, NEW.notes);
END;

-- An index without content must be told the old words to forget them.
CREATE TRIGGER search_deleted AFTER DELETE ON observations
BEGIN
    INSERT INTO observation_search (observation_search, rowid, notes) VALUES ('delete', OLD.id, OLD.notes);
END;

CREATE TRIGGER search_updated AFTER UPDATE OF notes ON observations
BEGIN
    INSERT INTO observation_search (observation_search, rowid, notes) VALUES ('delete', OLD.id, OLD.notes);
    INSERT INTO observation_search (rowid, notes) VALUES (NEW.id, NEW.notes);
END;

-- The triggers see what comes; this takes in what is there.
INSERT INTO observation_search (observation_search) VALUES ('rebuild');
