-- The keys go first, for the same reason. Grants on columns go with those on
-- their table.
REVOKE ALL ON ALL TABLES IN SCHEMA birding FROM anon, authenticated;

DROP POLICY reviewers_settle ON birding.reports;
DROP POLICY observers_report ON birding.reports;
DROP POLICY reporters_and_reviewers_read ON birding.reports;
DROP POLICY observers_sign_their_comments ON birding.comments;
DROP POLICY as_its_observation ON birding.observation_tags;
DROP POLICY as_its_observation ON birding.comments;
DROP POLICY as_its_observation ON birding.photos;
DROP POLICY reviewers_decide ON birding.observations;
DROP POLICY observers_write_their_own ON birding.observations;
DROP POLICY rejected_ones_stay_private ON birding.observations;
DROP POLICY everybody_reads ON birding.tags;
DROP POLICY everybody_reads ON birding.sites;
DROP POLICY everybody_reads ON birding.species;
DROP POLICY everybody_reads ON birding.observers;

ALTER TABLE birding.reports DISABLE ROW LEVEL SECURITY;
ALTER TABLE birding.observation_tags DISABLE ROW LEVEL SECURITY;
ALTER TABLE birding.tags DISABLE ROW LEVEL SECURITY;
ALTER TABLE birding.comments DISABLE ROW LEVEL SECURITY;
ALTER TABLE birding.photos DISABLE ROW LEVEL SECURITY;
ALTER TABLE birding.observations DISABLE ROW LEVEL SECURITY;
ALTER TABLE birding.sites DISABLE ROW LEVEL SECURITY;
ALTER TABLE birding.species DISABLE ROW LEVEL SECURITY;
ALTER TABLE birding.observers DISABLE ROW LEVEL SECURITY;
