-- Takes away what the archive brought, and fails rather than take more.
DELETE FROM birding.observations WHERE observer_id = '00000000-0000-4000-8000-000000000001';
DELETE FROM birding.observers WHERE id = '00000000-0000-4000-8000-000000000001';
DELETE FROM birding.sites WHERE code IN ('SPURN', 'TARIFA', 'WESTER');
DELETE FROM birding.species WHERE code IN ('NUMPHA', 'NUMARQ', 'STRTUR', 'NEOPER', 'VANGRE');
