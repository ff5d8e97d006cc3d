// What a decision removes: layers, and filters by their feature maps.
// Parameters: $model, $key, $layers ({layer, block, score, threshold, reason}; block is null where a layer goes by itself),
// $filters ({layer, channel, score, threshold, reason, step}; step where the net was trained between steps).
MATCH (run:PruningRun {key: $key})
CALL (run) {
  UNWIND $layers AS row
  MATCH (l:Layer {model: $model, layer: row.layer})
  CREATE (run)-[:REMOVES {score: row.score, threshold: row.threshold, reason: row.reason, block: row.block}]->(l)
  RETURN count(l) AS layers
}
CALL (run) {
  UNWIND $filters AS row
  MATCH (f:FeatureMap {model: $model, layer: row.layer, channel: row.channel})
  CREATE (run)-[:REMOVES {score: row.score, threshold: row.threshold, reason: row.reason, step: row.step}]->(f)
  RETURN count(f) AS filters
}
RETURN layers, filters
