DROP MATERIALIZED VIEW birding.site_totals;
DROP VIEW birding.life_lists;
