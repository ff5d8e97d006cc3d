// All connections into a map, in one inner transaction: a map that has one has them all. The SET locks the map before it
// is looked at, since a killed writer's last batch may still be running.
// Parameters: $model, $rows ({layer, channel: of the target; edges: [[source layer, source channel, channel, weight, kernel]]}).
// In Browser put :auto before it.
UNWIND $rows AS row
CALL (row) {
  MATCH (target:FeatureMap {model: $model, layer: row.layer, channel: row.channel})
  SET target.l1 = target.l1
  WITH target, row WHERE NOT EXISTS { (target)<-[:CONNECTS]-() }
  UNWIND row.edges AS edge
  MATCH (source:FeatureMap {model: $model, layer: edge[0], channel: edge[1]})
  CREATE (source)-[:CONNECTS {channel: edge[2], weight: edge[3], kernel: edge[4]}]->(target)
} IN TRANSACTIONS OF 100 ROWS
