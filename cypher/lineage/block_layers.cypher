// The layers of one block of a model, in network order. Parameters: $model, $block.
MATCH (:Block {model: $model, name: $block})-[:CONTAINS]->(l:Layer)
RETURN l.layer AS layer
ORDER BY l.index
