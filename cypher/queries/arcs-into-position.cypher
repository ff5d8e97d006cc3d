// Arcs into one position
// The positions that the position ($x, $y) of $layer looks at, with the weight for class number $class (null: the mean).
// Null for $layer is the first layer that arcs reach, null for $x or $y the middle.
:params {"model": "OWNER/NAME", "layer": null, "x": null, "y": null, "class": null};
MATCH (l:Layer:Conv {model: $model})
WHERE (l.layer = toString($layer) OR ($layer IS NULL AND l.layer IS NOT NULL))
  AND EXISTS { (:Position {model: l.model, layer: l.layer})<-[:ARC]-() }
WITH l ORDER BY l.index LIMIT 1
MATCH (p:Position {model: l.model, layer: l.layer})
WITH l, coalesce(toInteger($x), percentileDisc(p.x, 0.5)) AS x, coalesce(toInteger($y), percentileDisc(p.y, 0.5)) AS y
MATCH (source:Position)-[arc:ARC]->(p:Position {model: l.model, layer: l.layer, x: x, y: y})
RETURN source.layer AS from_layer, source.x AS from_x, source.y AS from_y, p.layer AS layer, p.x AS x, p.y AS y,
       CASE WHEN $class IS NULL THEN arc.weight ELSE source.activation[toInteger($class)] END AS weight, source, arc, p
ORDER BY weight DESC, source.number LIMIT 250
