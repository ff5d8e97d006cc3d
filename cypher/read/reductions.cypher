// The CAR of the maps of some layers, with the classes that they serve most and least. Parameters: $key, $layers.
UNWIND $layers AS layer
MATCH (f:FeatureMap {model: $key, layer: layer})
WHERE f.car IS NOT NULL
RETURN f {.layer, .channel, .car, .carByClass,
          serves: COLLECT { MATCH (f)-[s:SERVES]->(c:Class) RETURN [c.index, s.reduction, s.rank] ORDER BY s.rank, c.index }} AS row
ORDER BY row.channel
