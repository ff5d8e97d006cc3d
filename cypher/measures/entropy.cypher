// entropy: how evenly a position's degree is spread over the class networks, - sum over p_k > 0 of p_k log2 p_k with
// p_k = d_k / (sum of d). Negative weights make shares above 1, whose negative term counts; a position whose degrees sum to 0 has 0.
// Parameters: $model, $classes (how many). In Browser put :auto before it.
MATCH (p:Position {model: $model}) WHERE p.number IS NOT NULL
CALL (p) {
  OPTIONAL MATCH (source:Position)-[:ARC]->(p)
  WITH p, source ORDER BY source.number
  WITH p, p.activation AS own, COUNT { (p)-[:ARC]->() } AS out, collect(source.activation) AS incoming
  WITH p, [k IN range(0, $classes - 1) |
           reduce(total = out * coalesce(own[k], 0.0), weights IN incoming | total + weights[k])] AS degrees
  WITH p, degrees, reduce(total = 0.0, degree IN degrees | total + degree) AS total
  SET p.entropy = CASE WHEN total = 0 THEN 0.0 ELSE
    -reduce(sum = 0.0, share IN [degree IN degrees WHERE degree / total > 0 | degree / total] |
            sum + share * log(share) / log(2)) END
} IN 2 CONCURRENT TRANSACTIONS OF 5000 ROWS
