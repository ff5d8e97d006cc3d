// Filters that serve a class
// The $top feature maps without whose filter the accuracy of class $class (a number or a name, null for the first that has any)
// falls most, in $layer (null: in the whole model). `rank` is the place of the class among those that the filter serves; a
// SERVES is drawn where it is one of the first or last.
// Needs: cnngraph measure NAME --measure car
:params {"model": "OWNER/NAME", "class": null, "layer": null, "top": 40};
MATCH (c:Class {model: $model})
WHERE c.index IS NOT NULL AND (($class IS NULL AND EXISTS { (c)<-[:SERVES]-(:FeatureMap) })
   OR toString($class) IN [c.name, toString(c.index), toString(toFloat(c.index))])
WITH c ORDER BY c.name = toString($class) DESC, c.index LIMIT 1
MATCH (f:FeatureMap {model: $model})
WHERE f.layer IS NOT NULL AND ($layer IS NULL OR f.layer = toString($layer)) AND f.carByClass[c.index] > 0
OPTIONAL MATCH (f)-[serves:SERVES]->(c)
RETURN c.name AS class, f.layer AS layer, f.channel AS channel, f.carByClass[c.index] AS reduction, f.car AS car,
       serves.rank AS rank, f, serves, c
ORDER BY reduction DESC, layer, channel
LIMIT CASE WHEN toInteger($top) < 290 THEN toInteger($top) ELSE 290 END
