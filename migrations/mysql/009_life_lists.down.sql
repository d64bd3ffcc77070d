DROP VIEW site_totals;
DROP VIEW life_lists;
