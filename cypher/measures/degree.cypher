// degree: the sum of the weights of a position's arcs, into and out of it. An arc's weight is the mean over the classes, so
// this is the mean of the class networks' degrees; times the number of classes it is their sum.
// Parameters: $model, $factor (1, or the number of classes). In Browser put :auto before it.
MATCH (p:Position {model: $model}) WHERE p.number IS NOT NULL
CALL (p) {
  OPTIONAL MATCH (p)-[arc:ARC]-(other)
  WITH p, arc ORDER BY other.number
  WITH p, sum(arc.weight) AS total
  SET p.degree = 1.0 * $factor * total
} IN 2 CONCURRENT TRANSACTIONS OF 5000 ROWS
