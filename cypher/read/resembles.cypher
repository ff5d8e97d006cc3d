// Parameters: $key, $layers.
UNWIND $layers AS layer
MATCH (source:FeatureMap {model: $key, layer: layer})-[r:RESEMBLES]->(target:FeatureMap)
RETURN source.layer AS source_layer, source.channel AS source_channel, target.layer AS target_layer,
       target.channel AS target_channel, r.correlation AS correlation, r.scope AS scope
