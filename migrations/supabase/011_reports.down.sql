DROP PROCEDURE birding.settle_report(bigint, birding.report_state, uuid);
DROP TABLE birding.reports;
DROP TYPE birding.report_state;
DROP TYPE birding.report_reason;
