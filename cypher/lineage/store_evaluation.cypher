// The time is that of the figures: the same ones again change nothing. Parameters: $model, $key, $properties.
MATCH (m:Model {key: $model})
MERGE (e:Evaluation {key: $key})
WITH m, e, CASE WHEN all(name IN keys($properties) WHERE e[name] = $properties[name]) THEN e.createdAt END AS known
SET e = $properties, e.createdAt = coalesce(known, datetime())
MERGE (e)-[:OF]->(m)
RETURN e.key AS key
