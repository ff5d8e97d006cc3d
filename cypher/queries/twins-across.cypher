// Twins across layers
// Feature maps of different layers that respond alike from image to image: |correlation| of at least $correlation, the most alike first.
:params {"model": "OWNER/NAME", "correlation": 0.9};
MATCH (a:FeatureMap {model: $model})-[twins:RESEMBLES {scope: 'across'}]->(b:FeatureMap)
WHERE a.layer IS NOT NULL AND abs(twins.correlation) >= toFloat($correlation)
RETURN a.layer AS layer, a.channel AS channel, b.layer AS other_layer, b.channel AS other_channel,
       twins.correlation AS correlation, a, twins, b
ORDER BY abs(correlation) DESC, layer, channel, other_layer, other_channel LIMIT 140
