// Parameters: $model, $rows (the properties of one block each, with `layers`, the names of those that it contains).
UNWIND $rows AS row
MERGE (b:Block {model: $model, name: row.name})
ON CREATE SET b = row {.*, layers: null}
WITH b, row
UNWIND row.layers AS layer
MATCH (l:Layer {model: $model, layer: layer})
MERGE (b)-[:CONTAINS]->(l)
