// single: the degree of a position in the one network made from all images alike (activationAll), whatever their class.
// Parameters: $model. In Browser put :auto before it.
MATCH (p:Position {model: $model}) WHERE p.number IS NOT NULL
CALL (p) {
  OPTIONAL MATCH (source:Position)-[:ARC]->(p)
  WITH p, source ORDER BY source.number
  WITH p, COUNT { (p)-[:ARC]->() } * coalesce(p.activationAll, 0.0) AS leaving, sum(source.activationAll) AS entering
  SET p.single = 1.0 * leaving + entering
} IN 2 CONCURRENT TRANSACTIONS OF 5000 ROWS
