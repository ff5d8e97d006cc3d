// The steps in which a decision was carried out, the net trained between them.
// Parameters: $run (key of the PruningRun), $rows ({number, name, layer, filters, trainedParameters, epochs, accuracy, kappa,
// seconds}).
MATCH (run:PruningRun {key: $run})
CALL (run) {
  MATCH (run)<-[:OF]-(old:Step)
  WHERE NOT old.number IN [row IN $rows | row.number]
  DETACH DELETE old
}
CALL (run) {
  UNWIND $rows AS row
  MERGE (step:Step {run: run.key, number: row.number})
  SET step += row
  MERGE (step)-[:OF]->(run)
  RETURN count(step) AS steps
}
RETURN steps
