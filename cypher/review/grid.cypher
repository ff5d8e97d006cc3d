// The filters of one layer with what a grid sorts by, and their twins in the layer. Parameters: $model, $layer.
MATCH (f:FeatureMap {model: $model, layer: $layer})
RETURN f.channel AS channel, f.l2 AS magnitude, f.apoz AS apoz, f.car AS car,
       COLLECT {
         MATCH (f)-[t:RESEMBLES {scope: 'within'}]-(o:FeatureMap)
         WHERE abs(t.correlation) >= 0.9 RETURN DISTINCT o.channel
       } AS twins
ORDER BY channel
