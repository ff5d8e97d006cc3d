// Where the relationships that end at some nodes begin. Parameters: $ids (element ids).
UNWIND $ids AS id
MATCH (a)-[r]->(b) WHERE elementId(b) = id
RETURN elementId(a) AS source, type(r) AS type, count(*) AS edges
