// The connections into the maps of some layers, a row for each pair of a target map and a source layer. Parameters: $key, $layers.
UNWIND $layers AS layer
MATCH (target:FeatureMap {model: $key, layer: layer})<-[c:CONNECTS]-(source:FeatureMap)
RETURN target.layer AS target_layer, target.channel AS target_channel, source.layer AS source_layer,
       collect(source.channel) AS source_channel, collect(c.channel) AS channel, collect(c.weight) AS weight,
       collect(c.kernel) AS kernel
