// activation, over the positions of a model that has no feature maps: the mean over the classes. Parameters: $model.
MATCH (l:Layer:Conv {model: $model}) WHERE l.layer IS NOT NULL
CALL (l) {
  MATCH (p:Position {model: l.model, layer: l.layer})
  WHERE size(p.activation) > 0
  WITH p ORDER BY p.number
  RETURN collect(reduce(sum = 0.0, a IN p.activation | sum + a) / size(p.activation)) AS values
}
WITH l, values WHERE size(values) > 0
RETURN l.layer AS layer, values
ORDER BY l.index
