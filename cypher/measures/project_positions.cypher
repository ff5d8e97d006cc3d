// The position network of one model as a GDS projection. A weight means strength and is read without its sign; strength 0
// is no arc. Every position is in it, also one that no arc reaches. GDS numbers nodes as it meets them, and draws by these
// numbers: so all positions come first, in the order of ours, whatever the order of the store.
// Parameters: $model, $name (of the projection), $class_index (of the class whose weights the arcs get; null: their mean),
// $undirected (['*'] or []), $distance (true: a weight becomes 1 / strength).
CALL () {
  MATCH (source:Position {model: $model}) WHERE source.number IS NOT NULL
  RETURN source, null AS target, null AS strength ORDER BY source.model, source.number
  UNION ALL
  MATCH (source:Position {model: $model}) WHERE source.number IS NOT NULL
  WITH source ORDER BY source.model, source.number
  MATCH (source)-[arc:ARC]->(target:Position)
  WITH source, target, abs(CASE WHEN $class_index IS NULL THEN arc.weight ELSE source.activation[$class_index] END) AS strength
  WHERE strength > 0
  RETURN source, target, strength
}
RETURN gds.graph.project($name, source, target,
  {relationshipProperties: {weight: CASE WHEN $distance THEN 1.0 / strength ELSE strength END}},
  {undirectedRelationshipTypes: $undirected})
