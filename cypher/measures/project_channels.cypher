// The channel network of one model as a GDS projection: feature maps and CONNECTS, a weight means strength and 0 is no
// connection. Every map is in it, also one that no connection reaches. GDS numbers nodes as it meets them, and draws by
// these numbers: so all maps come first, by layer in network order and channel, whatever the order of the store.
// Parameters: $model, $name (of the projection), $undirected (['*'] or []), $distance (true: a weight becomes 1 / strength).
CALL () {
  MATCH (l:Layer {model: $model})-[:HAS_FEATURE_MAP]->(source:FeatureMap) WHERE l.layer IS NOT NULL
  RETURN source, null AS target, null AS strength ORDER BY l.index, source.channel
  UNION ALL
  MATCH (l:Layer {model: $model})-[:HAS_FEATURE_MAP]->(source:FeatureMap) WHERE l.layer IS NOT NULL
  WITH source ORDER BY l.index, source.channel
  CALL (source) {
    MATCH (source)-[connects:CONNECTS]->(target:FeatureMap)<-[:HAS_FEATURE_MAP]-(m:Layer) WHERE connects.weight <> 0
    RETURN target, abs(connects.weight) AS strength ORDER BY m.index, target.channel, connects.channel
  }
  RETURN source, target, strength
}
RETURN gds.graph.project($name, source, target,
  {relationshipProperties: {weight: CASE WHEN $distance THEN 1.0 / strength ELSE strength END}},
  {undirectedRelationshipTypes: $undirected})
