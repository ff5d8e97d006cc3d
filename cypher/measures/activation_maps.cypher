// activation, over the feature maps: the mean over the classes of each map's mean activation. Parameters: $model.
MATCH (l:Layer:Conv {model: $model})-[:HAS_FEATURE_MAP]->(f:FeatureMap)
WHERE l.layer IS NOT NULL AND size(f.activation) > 0
WITH l, f ORDER BY l.index, f.channel
WITH l, reduce(sum = 0.0, a IN f.activation | sum + a) / size(f.activation) AS score
WITH l, collect(score) AS values
RETURN l.layer AS layer, values
ORDER BY l.index
