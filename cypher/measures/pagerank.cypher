// pagerank: PageRank along the arcs, weighted, onto the positions. Parameters: $name (of the projection), $damping,
// $iterations, $tolerance. In Browser put :auto before it.
CALL gds.pageRank.write($name, {relationshipWeightProperty: 'weight', dampingFactor: $damping,
  maxIterations: $iterations, tolerance: $tolerance, writeProperty: 'pagerank'})
YIELD nodePropertiesWritten, ranIterations, didConverge
RETURN nodePropertiesWritten AS written, ranIterations AS iterations, didConverge AS converged
