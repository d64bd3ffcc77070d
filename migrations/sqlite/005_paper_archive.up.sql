-- Migration: The first records, typed in from the paper archive
-- Created: 2025-01-15
-- depends: 004_observations

INSERT INTO species (code, scientific_name, english_name, status) VALUES
    ('NUMPHA', 'Numenius phaeopus',     'Whimbrel',             'LC'),
    ('NUMARQ', 'Numenius arquata',      'Eurasian Curlew',      'NT'),
    ('STRTUR', 'Streptopelia turtur',   'European Turtle Dove', 'VU'),
    ('NEOPER', 'Neophron percnopterus', 'Egyptian Vulture',     'EN'),
    ('VANGRE', 'Vanellus gregarius',    'Sociable Lapwing',     'CR');

INSERT INTO sites (code, name, country, latitude, longitude) VALUES
    ('SPURN',  'Spurn Point',              'GB', 53.58,  0.11),
    ('TARIFA', 'Strait of Gibraltar',      'ES', 36.01, -5.60),
    ('WESTER', 'Wadden Sea, Westerhever',  'DE', 54.37,  8.64);

-- Nobody signs in as the archive; it only owns what has no living owner.
INSERT INTO observers (id, handle, email, role) VALUES
    (1, 'archive', 'archive@birding.example', 'steward');

INSERT INTO observations (observer_id, species, site, observed_on, individuals, notes, state) VALUES
    (1, 'NUMPHA', 'SPURN',  '1987-05-03', 42, 'Two flocks; the second flew on north.', 'confirmed'),
    (1, 'NUMARQ', 'WESTER', '1991-09-14', 310, 'High-tide roost, counted twice.',      'confirmed'),
    (1, 'NEOPER', 'TARIFA', '1994-03-02',  3, NULL,                                    'confirmed'),
    (1, 'VANGRE', 'WESTER', '1998-04-21',  1, 'With lapwings. Isn''t it too early?',   'reported');
