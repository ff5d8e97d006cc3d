// The scores that a measure left on the positions, a list a layer, by number, in network order.
// Parameters: $model, $property (the measure's name).
MATCH (l:Layer:Conv {model: $model}) WHERE l.layer IS NOT NULL
CALL (l) {
  MATCH (p:Position {model: l.model, layer: l.layer})
  WITH p ORDER BY p.number
  RETURN collect(p[$property]) AS values, count(p) AS positions
}
WITH l, values, positions WHERE positions > 0
RETURN l.layer AS layer, values, positions
ORDER BY l.index
