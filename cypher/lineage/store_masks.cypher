// The masks that a decision puts on the weights of layers, round by round; those that were there before are replaced.
// Parameters: $model, $key (of the PruningRun), $rows ({layer, round, alive, weights, mask}; mask is a sha256).
MATCH (run:PruningRun {key: $key})
CALL (run) {
  MATCH (run)-[old:MASKS]->()
  DELETE old
}
UNWIND $rows AS row
MATCH (l:Layer {model: $model, layer: row.layer})
CREATE (run)-[:MASKS {round: row.round, alive: row.alive, weights: row.weights, mask: row.mask}]->(l)
