// How many positions and feature maps each conv layer has, in network order. Parameters: $model.
MATCH (l:Layer:Conv {model: $model}) WHERE l.layer IS NOT NULL
RETURN l.layer AS layer, COUNT { (:Position {model: l.model, layer: l.layer}) } AS positions,
       COUNT { (l)-[:HAS_FEATURE_MAP]->(:FeatureMap) } AS maps
ORDER BY l.index
