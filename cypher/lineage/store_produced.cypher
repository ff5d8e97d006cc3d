// What came out of a decision. Parameters: $run, $child, $parent, $rows ([layer of the parent, layer of the child]),
// $edits (JSON, or null where they are not known).
MATCH (run:PruningRun {key: $run})
MATCH (child:Model {key: $child})
MATCH (parent:Model {key: $parent})
MERGE (run)-[made:PRODUCED]->(child)
SET made.edits = coalesce($edits, made.edits)
MERGE (child)-[:PRUNED_FROM]->(parent)
WITH child, parent
CALL (child, parent) {
  UNWIND $rows AS row
  MATCH (old:Layer {model: parent.key, layer: row[0]})
  MATCH (new:Layer {model: child.key, layer: row[1]})
  MERGE (old)-[:SURVIVES_AS]->(new)
  RETURN count(new) AS survivors
}
RETURN survivors
