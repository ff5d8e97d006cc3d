// All arcs that leave a position, in one inner transaction: a position that has an arc has them all. The SET locks the
// position before it is looked at, since a killed writer's last batch may still be running. One IN finds all targets
// twice as fast as a MATCH for each.
// Parameters: $model, $rows ([source number, weight, [target numbers]]). In Browser put :auto before it.
UNWIND $rows AS row
CALL (row) {
  MATCH (source:Position {model: $model, number: row[0]})
  SET source.x = source.x
  WITH source, row WHERE NOT EXISTS { (source)-[:ARC]->() }
  MATCH (target:Position {model: $model}) WHERE target.number IN row[2]
  CREATE (source)-[:ARC {weight: row[1]}]->(target)
} IN 2 CONCURRENT TRANSACTIONS OF 1000 ROWS
