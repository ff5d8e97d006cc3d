// The Model that an ingest fills; one that is there stays as it is. Parameters: $key, $owner, $name.
MERGE (m:Model {key: $key})
ON CREATE SET m.owner = $owner, m.name = $name, m.status = 'loading', m.createdAt = datetime()
