// How many nodes and relationships the projection of a position network is made of. Parameters: $model.
RETURN COUNT { MATCH (p:Position {model: $model}) WHERE p.number IS NOT NULL } AS nodes,
       COUNT { MATCH (p:Position {model: $model})-[:ARC]->() WHERE p.number IS NOT NULL } AS relationships
