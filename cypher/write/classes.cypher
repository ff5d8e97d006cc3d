// Parameters: $model, $rows (the properties of one class each).
UNWIND $rows AS row
MERGE (c:Class {model: $model, index: row.index})
ON CREATE SET c = row
WITH c
MATCH (m:Model {key: $model})
MERGE (m)-[:HAS_CLASS]->(c)
