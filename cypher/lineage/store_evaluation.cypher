// Parameters: $model, $key, $properties.
MATCH (m:Model {key: $model})
MERGE (e:Evaluation {key: $key})
SET e = $properties, e.createdAt = datetime()
MERGE (e)-[:OF]->(m)
RETURN e.key AS key
