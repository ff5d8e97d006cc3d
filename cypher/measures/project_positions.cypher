// The position network of one model as a GDS projection. A weight means strength and is read without its sign; strength 0
// is no arc. Every position is in it, also one that no arc reaches.
// Parameters: $model, $name (of the projection), $undirected (['*'] or []), $distance (true: a weight becomes 1 / strength).
MATCH (source:Position {model: $model}) WHERE source.number IS NOT NULL
OPTIONAL MATCH (source)-[arc:ARC]->(target:Position) WHERE arc.weight <> 0
WITH gds.graph.project($name, source, target,
  {relationshipProperties: {weight: CASE WHEN $distance THEN 1.0 / abs(arc.weight) ELSE abs(arc.weight) END}},
  {undirectedRelationshipTypes: $undirected}) AS graph
RETURN graph.nodeCount AS nodes, graph.relationshipCount AS relationships
