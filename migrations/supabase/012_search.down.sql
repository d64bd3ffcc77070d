-- no-transaction
DROP INDEX CONCURRENTLY birding.observations_search;
