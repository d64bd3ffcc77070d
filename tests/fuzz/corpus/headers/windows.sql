-- Migration: a mark and CRLF
-- no-transaction

SELECT 1;

