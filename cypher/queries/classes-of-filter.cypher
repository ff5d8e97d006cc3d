// Classes that a filter serves
// What each class's accuracy loses without filter $channel of $layer, the class that it serves most first. Without a layer the
// first that was measured, without a channel its filter of the largest CAR (`car`: the loss over all classes). A class
// without images to judge on has no row.
// Needs: cnngraph measure NAME --measure car
:params {"model": "OWNER/NAME", "layer": null, "channel": null};
MATCH (l:Layer {model: $model})-[:HAS_FEATURE_MAP]->(f:FeatureMap)
WHERE l.layer IS NOT NULL AND ($layer IS NULL OR l.layer = toString($layer))
  AND f.car IS NOT NULL AND ($channel IS NULL OR f.channel = toInteger($channel))
WITH f ORDER BY l.index, f.car DESC, f.channel LIMIT 1
MATCH (c:Class {model: $model})
WHERE c.index IS NOT NULL AND NOT isNaN(f.carByClass[c.index])
OPTIONAL MATCH (f)-[serves:SERVES]->(c)
RETURN f.layer AS layer, f.channel AS channel, f.car AS car, c.name AS class, f.carByClass[c.index] AS reduction,
       serves.rank AS rank, f, serves, c
ORDER BY reduction DESC, c.index LIMIT 290
