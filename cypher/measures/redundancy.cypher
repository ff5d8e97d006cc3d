// redundancy: 1 - the share of a layer's feature maps that have a twin in another layer. A sum's map is nobody's twin: it
// holds its own summands. Parameters: $model, $atLeast (a twin's |correlation|).
MATCH (l:Layer:Conv {model: $model})-[:HAS_FEATURE_MAP]->(f:FeatureMap)
WHERE l.layer IS NOT NULL
WITH l, EXISTS {
  MATCH (f)-[alike:RESEMBLES {scope: 'across'}]-(:FeatureMap)<-[:HAS_FEATURE_MAP]-(other:Layer)
  WHERE abs(alike.correlation) >= $atLeast AND NOT other:Add
} AS twin
WITH l, count(*) AS maps, sum(CASE WHEN twin THEN 1 ELSE 0 END) AS twins
RETURN l.layer AS layer, [1.0 - 1.0 * twins / maps] AS values
ORDER BY l.index
