// Relationships as they are elsewhere. Parameters: $model, $rows ([source, type, properties, [targets]]; the ends as element ids).
UNWIND $rows AS row
MATCH (a) WHERE elementId(a) = row[0]
UNWIND row[3] AS target
MATCH (b) WHERE elementId(b) = target
CREATE (a)-[r:$(row[1])]->(b)
SET r = row[2]
