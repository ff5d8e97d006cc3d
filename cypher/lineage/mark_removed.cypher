// The label :Removed, a colour in Browser, on the layers that a run removes and on no others of its model.
// Parameters: $key (of the PruningRun).
MATCH (run:PruningRun {key: $key})-[:OF]->(m:Model)
CALL (m) {
  MATCH (m)-[:HAS_LAYER]->(l:Removed)
  REMOVE l:Removed
}
CALL (run, m) {
  MATCH (run)-[:REMOVES]->(l:Layer)<-[:HAS_LAYER]-(m)
  SET l:Removed
}
