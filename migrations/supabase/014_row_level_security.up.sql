-- Migration: Row level security
-- Created: 2025-03-07
-- depends: 013_api_roles

-- First the locks, then the keys: no grant comes before the policies that
-- bound it.
ALTER TABLE birding.observers ENABLE ROW LEVEL SECURITY;
ALTER TABLE birding.species ENABLE ROW LEVEL SECURITY;
ALTER TABLE birding.sites ENABLE ROW LEVEL SECURITY;
ALTER TABLE birding.observations ENABLE ROW LEVEL SECURITY;
ALTER TABLE birding.photos ENABLE ROW LEVEL SECURITY;
ALTER TABLE birding.comments ENABLE ROW LEVEL SECURITY;
ALTER TABLE birding.tags ENABLE ROW LEVEL SECURITY;
ALTER TABLE birding.observation_tags ENABLE ROW LEVEL SECURITY;
ALTER TABLE birding.reports ENABLE ROW LEVEL SECURITY;

CREATE POLICY everybody_reads ON birding.observers FOR SELECT USING (true);
CREATE POLICY everybody_reads ON birding.species FOR SELECT USING (true);
CREATE POLICY everybody_reads ON birding.sites FOR SELECT USING (true);
CREATE POLICY everybody_reads ON birding.tags FOR SELECT USING (true);

-- The inner SELECT lets the planner ask once for a query, not once for a row.
-- Reviewers see what is rejected: a row may not be updated out of sight.
CREATE POLICY rejected_ones_stay_private ON birding.observations FOR SELECT
    USING (state <> 'rejected'
           OR observer_id = (SELECT birding.current_observer())
           OR (SELECT birding.is_reviewer()));

CREATE POLICY observers_write_their_own ON birding.observations FOR INSERT TO authenticated
    WITH CHECK (observer_id = (SELECT birding.current_observer()) AND state = 'reported');

CREATE POLICY reviewers_decide ON birding.observations FOR UPDATE TO authenticated
    USING ((SELECT birding.is_reviewer()));

-- These show exactly where the observation shows: its own policy is applied
-- to the subquery.
CREATE POLICY as_its_observation ON birding.photos FOR SELECT
    USING (EXISTS (SELECT FROM birding.observations WHERE id = observation_id));
CREATE POLICY as_its_observation ON birding.comments FOR SELECT
    USING (EXISTS (SELECT FROM birding.observations WHERE id = observation_id));
CREATE POLICY as_its_observation ON birding.observation_tags FOR SELECT
    USING (EXISTS (SELECT FROM birding.observations WHERE id = observation_id));

CREATE POLICY observers_sign_their_comments ON birding.comments FOR INSERT TO authenticated
    WITH CHECK (observer_id = (SELECT birding.current_observer()));

CREATE POLICY reporters_and_reviewers_read ON birding.reports FOR SELECT TO authenticated
    USING (reported_by = (SELECT birding.current_observer()) OR (SELECT birding.is_reviewer()));

CREATE POLICY observers_report ON birding.reports FOR INSERT TO authenticated
    WITH CHECK (reported_by = (SELECT birding.current_observer()) AND state = 'open');

CREATE POLICY reviewers_settle ON birding.reports FOR UPDATE TO authenticated
    USING ((SELECT birding.is_reviewer()))
    WITH CHECK (resolved_by = (SELECT birding.current_observer()));

-- Column by column, because an address is nobody else's business.
GRANT SELECT (id, handle, role, joined_at) ON birding.observers TO anon, authenticated;
GRANT SELECT ON birding.species, birding.sites, birding.observations, birding.photos,
                birding.comments, birding.tags, birding.observation_tags,
                birding.life_lists, birding.site_totals TO anon, authenticated;
GRANT INSERT ON birding.observations, birding.comments TO authenticated;
GRANT UPDATE (state) ON birding.observations TO authenticated;
GRANT SELECT, INSERT, UPDATE (state, resolved_by) ON birding.reports TO authenticated;
