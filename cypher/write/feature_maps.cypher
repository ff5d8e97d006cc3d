// Parameters: $model, $rows (the properties of one map each).
UNWIND $rows AS row
MERGE (f:FeatureMap {model: $model, layer: row.layer, channel: row.channel})
ON CREATE SET f = row
WITH f, row
MATCH (l:Layer {model: $model, layer: row.layer})
MERGE (l)-[:HAS_FEATURE_MAP]->(f)
