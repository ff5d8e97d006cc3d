// How many nodes and relationships the projection of a channel network is made of. Parameters: $model.
RETURN COUNT { MATCH (f:FeatureMap {model: $model}) WHERE f.layer IS NOT NULL } AS nodes,
       COUNT { MATCH (f:FeatureMap {model: $model})-[:CONNECTS]->() WHERE f.layer IS NOT NULL } AS relationships
