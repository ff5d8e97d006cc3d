// magnitude: the L2 norm of the filter that makes a feature map. Parameters: $model.
MATCH (l:Layer:Conv {model: $model})-[:HAS_FEATURE_MAP]->(f:FeatureMap)
WHERE l.layer IS NOT NULL
WITH l, f ORDER BY l.index, f.channel
SET f.magnitude = f.l2
WITH l, collect(f.magnitude) AS values
RETURN l.layer AS layer, values
ORDER BY l.index
