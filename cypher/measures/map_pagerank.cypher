// map-pagerank: PageRank along the connections, weighted, onto the feature maps of the conv layers. Parameters: $name (of
// the projection), $damping, $iterations, $tolerance. In Browser put :auto before it.
CALL gds.pageRank.stream($name, {relationshipWeightProperty: 'weight', dampingFactor: $damping,
  maxIterations: $iterations, tolerance: $tolerance})
YIELD nodeId, score
WITH gds.util.asNode(nodeId) AS f, score
WHERE EXISTS { (f)<-[:HAS_FEATURE_MAP]-(:Layer:Conv) }
CALL (f, score) {
  SET f.pagerank = score
} IN TRANSACTIONS OF 5000 ROWS
