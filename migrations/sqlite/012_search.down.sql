DROP TRIGGER search_updated;
DROP TRIGGER search_deleted;
DROP TRIGGER search_inserted;
DROP TABLE observation_search;
