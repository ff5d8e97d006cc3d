// All relationships of one type from one node to another. Parameters: $model, $rows ([source, type, target]; element ids).
UNWIND $rows AS row
MATCH (a) WHERE elementId(a) = row[0]
MATCH (a)-[r]->(b) WHERE type(r) = row[1] AND elementId(b) = row[2]
DELETE r
