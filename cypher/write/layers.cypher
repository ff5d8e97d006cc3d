// Parameters: $model, $rows (the properties of one layer each; its kind is a second label).
UNWIND $rows AS row
MERGE (l:Layer {model: $model, layer: row.layer})
ON CREATE SET l = row
SET l:$(row.kind)
WITH l
MATCH (m:Model {key: $model})
MERGE (m)-[:HAS_LAYER]->(l)
