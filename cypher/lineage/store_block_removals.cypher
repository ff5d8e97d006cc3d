// Beside its layers, the block itself, where the model has Block nodes.
// Parameters: $model, $key, $rows ({block, score, threshold, reason}).
MATCH (run:PruningRun {key: $key})
UNWIND $rows AS row
MATCH (b:Block {model: $model, name: row.block})
MERGE (run)-[removes:REMOVES]->(b)
SET removes.score = row.score, removes.threshold = row.threshold, removes.reason = row.reason
