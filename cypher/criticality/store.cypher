// One trial of how critical a block is, on its Block, or on its last layer where the model has no such node. No row where the
// model was replaced meanwhile. Parameters: $model, $weights (sha256 of those that were tried), $block (name), $last_layer (name of its
// last one), $key, $properties (of the node, key and model among them).
MATCH (m:Model {key: $model})
WHERE m.status = 'complete' AND coalesce(m.sha256, $weights) = $weights
OPTIONAL MATCH (b:Block {model: m.key, name: $block})
OPTIONAL MATCH (l:Layer {model: m.key, layer: $last_layer})
WITH coalesce(b, l) AS place
WHERE place IS NOT NULL
MERGE (c:Criticality {key: $key})
SET c = $properties, c.createdAt = datetime()
MERGE (c)-[:OF]->(place)
RETURN CASE WHEN place:Block THEN 'Block' ELSE 'Layer' END AS label
