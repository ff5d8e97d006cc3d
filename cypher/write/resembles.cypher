// All twins that come after a map, in one inner transaction: a map that has one has them all. The SET locks the map before
// it is looked at, since a killed writer's last batch may still be running.
// Parameters: $model, $rows ({layer, channel: of the source; edges: [[target layer, target channel, correlation, scope]]}).
// In Browser put :auto before it.
UNWIND $rows AS row
CALL (row) {
  MATCH (source:FeatureMap {model: $model, layer: row.layer, channel: row.channel})
  SET source.l1 = source.l1
  WITH source, row WHERE NOT EXISTS { (source)-[:RESEMBLES]->() }
  UNWIND row.edges AS edge
  MATCH (target:FeatureMap {model: $model, layer: edge[0], channel: edge[1]})
  CREATE (source)-[:RESEMBLES {correlation: edge[2], scope: edge[3]}]->(target)
} IN TRANSACTIONS OF 500 ROWS
