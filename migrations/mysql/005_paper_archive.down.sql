-- Takes away what the archive brought, and fails rather than take more.
DELETE FROM observations WHERE observer_id = 1;
DELETE FROM observers WHERE id = 1;
DELETE FROM sites WHERE code IN ('SPURN', 'TARIFA', 'WESTER');
DELETE FROM species WHERE code IN ('NUMPHA', 'NUMARQ', 'STRTUR', 'NEOPER', 'VANGRE');
