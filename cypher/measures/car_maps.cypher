// CAR of the feature maps of some layers, in all and by class; maps that cannot go have none. Parameters: $model, $layers.
UNWIND $layers AS layer
MATCH (f:FeatureMap {model: $model, layer: layer})
RETURN f.layer AS layer, f.channel AS channel, f.car AS car, f.carByClass AS by_class
ORDER BY channel
