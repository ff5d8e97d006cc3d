// The scores that a measure left on the feature maps of the conv layers, by channel, in network order.
// Parameters: $model, $property (the measure's name on the nodes).
MATCH (l:Layer:Conv {model: $model})-[:HAS_FEATURE_MAP]->(f:FeatureMap)
WHERE l.layer IS NOT NULL
WITH l, f ORDER BY l.index, f.channel
WITH l, collect(f[$property]) AS values, count(f) AS maps
RETURN l.layer AS layer, l.sharedWith AS shared_with, values, maps
ORDER BY l.index
