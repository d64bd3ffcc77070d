-- Migration: The roles of the web API, and who is asking
-- Created: 2025-03-06

-- A hosted project has both roles; a plain server gets them here. Roles belong
-- to the whole cluster, so a migration of another database may create them at
-- the same moment: losing that race is success.
DO $roles$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['anon', 'authenticated'] LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = wanted) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN NOINHERIT', wanted);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                RAISE NOTICE 'role % was created meanwhile', wanted;
            END;
        END IF;
    END LOOP;
END;
$roles$;

GRANT USAGE ON SCHEMA birding TO anon, authenticated;

-- The API hands over the claims of the token as a setting of the transaction.
-- Without a token the setting is absent or empty, and nobody is asking.
CREATE FUNCTION birding.current_observer() RETURNS uuid
LANGUAGE sql STABLE SET search_path = '' AS $$
    SELECT (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid
$$;

CREATE FUNCTION birding.is_reviewer() RETURNS boolean
LANGUAGE sql STABLE SET search_path = '' AS $$
    SELECT EXISTS (SELECT FROM birding.observers
                    WHERE id = birding.current_observer() AND role >= 'reviewer')
$$;
