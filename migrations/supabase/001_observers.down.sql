-- Without CASCADE: a schema that is not empty is a mistake worth an error.
DROP TABLE birding.observers;
DROP TYPE birding.observer_role;
DROP SCHEMA birding;
