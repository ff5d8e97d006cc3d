// Nodes that are no longer where a model comes from. Parameters: $model, $rows (element ids).
UNWIND $rows AS id
MATCH (n) WHERE elementId(n) = id
DETACH DELETE n
