// The maps of some layers. Parameters: $key, $layers.
UNWIND $layers AS layer
MATCH (f:FeatureMap {model: $key, layer: layer})
RETURN properties(f) AS row
