// strength: the weights of all connections that enter and leave a feature map, also of those that were left out of the graph.
// Parameters: $model.
MATCH (l:Layer:Conv {model: $model})-[:HAS_FEATURE_MAP]->(f:FeatureMap)
WHERE l.layer IS NOT NULL
WITH l, f ORDER BY l.index, f.channel
SET f.strength = f.strengthIn + f.strengthOut
WITH l, collect(f.strength) AS values
RETURN l.layer AS layer, values
ORDER BY l.index
