DROP VIEW open_reports;
DROP TABLE reports;
