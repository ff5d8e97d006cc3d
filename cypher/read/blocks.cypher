// The blocks of a model in network order, each with the layers in it. Parameters: $key.
MATCH (b:Block {model: $key}) WHERE b.name IS NOT NULL
RETURN b {.*, layers: COLLECT { MATCH (b)-[:CONTAINS]->(l:Layer) RETURN l.layer ORDER BY l.index }} AS row
ORDER BY b.index
