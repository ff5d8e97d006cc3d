// The relationships that begin at some nodes, whatever their types. Parameters: $ids (element ids).
UNWIND $ids AS id
MATCH (a)-[r]->(b) WHERE elementId(a) = id
RETURN id AS source, type(r) AS type, properties(r) AS properties, elementId(b) AS target
