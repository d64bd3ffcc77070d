DROP PROCEDURE settle_report;
DROP TABLE reports;
