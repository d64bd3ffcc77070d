-- The roles stay: other databases of the cluster may be using them.
DROP FUNCTION birding.is_reviewer();
DROP FUNCTION birding.current_observer();
REVOKE USAGE ON SCHEMA birding FROM anon, authenticated;
