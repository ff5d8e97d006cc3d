// leiden, second step: the share of a position's strength (arcs in and out, without their sign) that goes to or comes from
// another community; 0 where it has none. Parameters: $model. In Browser put :auto before it.
MATCH (p:Position {model: $model}) WHERE p.number IS NOT NULL
CALL (p) {
  OPTIONAL MATCH (p)-[arc:ARC]-(other:Position)
  WITH p, arc, other ORDER BY other.number
  WITH p, sum(abs(arc.weight)) AS total,
       sum(CASE WHEN other.leidenCommunity <> p.leidenCommunity THEN abs(arc.weight) ELSE 0.0 END) AS leaving
  SET p.leiden = CASE WHEN total > 0 THEN leaving / total ELSE 0.0 END
} IN 2 CONCURRENT TRANSACTIONS OF 5000 ROWS
