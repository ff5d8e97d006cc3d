// degree, aggregated by the median: a position's degree in each class network (an arc's weight for class k is its source's
// activation[k]), then the median over the classes.
// Parameters: $model, $classes (how many). In Browser put :auto before it.
MATCH (p:Position {model: $model}) WHERE p.number IS NOT NULL
CALL (p) {
  OPTIONAL MATCH (source:Position)-[:ARC]->(p)
  WITH p, source ORDER BY source.number
  WITH p, p.activation AS own, COUNT { (p)-[:ARC]->() } AS out, collect(source.activation) AS incoming
  UNWIND range(0, $classes - 1) AS k
  WITH p, reduce(total = out * coalesce(own[k], 0.0), weights IN incoming | total + weights[k]) AS degree
  WITH p, percentileCont(degree, 0.5) AS median
  SET p.degree = median
} IN 2 CONCURRENT TRANSACTIONS OF 5000 ROWS
