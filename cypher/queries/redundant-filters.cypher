// Filters whose absence costs nothing
// Feature maps without whose filter the net loses at most $at_most of its accuracy (a share of 1), the least missed first, each
// with the map of its layer that responds most alike (RESEMBLES of at least $correlation), which may be why.
// Needs: cnngraph measure NAME --measure car
:params {"model": "OWNER/NAME", "at_most": 0, "correlation": 0.9};
MATCH (l:Layer {model: $model})-[has:HAS_FEATURE_MAP]->(f:FeatureMap)
WHERE l.layer IS NOT NULL AND f.car <= toFloat($at_most)
WITH l, has, f ORDER BY f.car, l.index, f.channel LIMIT 100
CALL (f) {
  OPTIONAL MATCH (f)-[twins:RESEMBLES {scope: 'within'}]-(twin:FeatureMap)
  WHERE abs(twins.correlation) >= toFloat($correlation)
  RETURN twins, twin ORDER BY abs(twins.correlation) DESC, twin.channel LIMIT 1
}
RETURN l.layer AS layer, f.channel AS channel, f.car AS car, f.apoz AS apoz, twin.channel AS twin_channel,
       twins.correlation AS correlation, twin.car AS twin_car, l, has, f, twins, twin
ORDER BY car, l.index, channel
