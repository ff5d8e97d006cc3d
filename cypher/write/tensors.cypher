// Parameters: $model, $rows (the properties of one tensor each; `data` is null where CONNECTS holds its values).
UNWIND $rows AS row
MERGE (t:Tensor {model: $model, name: row.name})
ON CREATE SET t = row
WITH t
MATCH (m:Model {key: $model})
MERGE (m)-[:HAS_TENSOR]->(t)
