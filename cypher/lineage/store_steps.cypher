// The steps in which a decision was carried out, the net trained between them, for one of the models that came of it.
// Parameters: $run (key of the PruningRun), $child (key of the model), $rows ({number, name, layer, filters,
// trainedParameters, epochs, accuracy, kappa, seconds}; of a round that prunes weights also weights, alive).
MATCH (run:PruningRun {key: $run})
CALL (run) {
  MATCH (run)<-[:OF]-(old:Step {child: $child})
  WHERE NOT old.number IN [row IN $rows | row.number]
  DETACH DELETE old
}
CALL (run) {
  UNWIND $rows AS row
  MERGE (step:Step {run: run.key, child: $child, number: row.number})
  SET step += row
  MERGE (step)-[:OF]->(run)
  RETURN count(step) AS steps
}
RETURN steps
