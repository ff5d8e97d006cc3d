// The relationships that begin at some nodes, whatever their types; those that say the same of one node in one row.
// Parameters: $ids (element ids).
UNWIND $ids AS id
MATCH (a)-[r]->(b) WHERE elementId(a) = id
RETURN id AS source, type(r) AS type, properties(r) AS properties, collect(elementId(b)) AS targets
