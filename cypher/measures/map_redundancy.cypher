// map-redundancy: 1 - the best |correlation| of a feature map with a stronger one (by L2 norm) of its own layer; 1 where
// no stronger one is alike. Parameters: $model.
MATCH (l:Layer:Conv {model: $model})-[:HAS_FEATURE_MAP]->(f:FeatureMap)
WHERE l.layer IS NOT NULL
WITH l, f ORDER BY l.index, f.channel
CALL (f) {
  OPTIONAL MATCH (f)-[alike:RESEMBLES {scope: 'within'}]-(other:FeatureMap)
  WHERE other.l2 > f.l2 OR (other.l2 = f.l2 AND other.channel < f.channel)
  RETURN coalesce(max(abs(alike.correlation)), 0.0) AS best
}
SET f.redundancy = 1.0 - best
WITH l, collect(f.redundancy) AS values
RETURN l.layer AS layer, values
ORDER BY l.index
