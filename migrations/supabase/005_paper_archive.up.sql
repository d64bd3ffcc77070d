-- Migration: The first records, typed in from the paper archive
-- Created: 2025-01-15
-- depends: 004_observations

COPY birding.species (code, scientific_name, english_name, status) FROM stdin;
NUMPHA	Numenius phaeopus	Whimbrel	LC
NUMARQ	Numenius arquata	Eurasian Curlew	NT
STRTUR	Streptopelia turtur	European Turtle Dove	VU
NEOPER	Neophron percnopterus	Egyptian Vulture	EN
VANGRE	Vanellus gregarius	Sociable Lapwing	CR
\.

COPY birding.sites (code, name, country, latitude, longitude) FROM stdin WITH (FORMAT csv);
SPURN,Spurn Point,GB,53.58,0.11
TARIFA,Strait of Gibraltar,ES,36.01,-5.60
WESTER,"Wadden Sea, Westerhever",DE,54.37,8.64
\.

-- Nobody signs in as the archive; it only owns what has no living owner.
INSERT INTO birding.observers (id, handle, email, role)
VALUES ('00000000-0000-4000-8000-000000000001', 'archive', 'archive@birding.example', 'steward');

COPY birding.observations (observer_id, species, site, observed_on, individuals, notes, state) FROM stdin;
00000000-0000-4000-8000-000000000001	NUMPHA	SPURN	1987-05-03	42	Two flocks; the second flew on north.	confirmed
00000000-0000-4000-8000-000000000001	NUMARQ	WESTER	1991-09-14	310	High-tide roost,\ncounted twice.	confirmed
00000000-0000-4000-8000-000000000001	NEOPER	TARIFA	1994-03-02	3	\N	confirmed
00000000-0000-4000-8000-000000000001	VANGRE	WESTER	1998-04-21	1	With lapwings. Isn't it too early?	reported
\.
