// For which blocks of its model a decision puts one layer; `by`: which, as "3x3 conv".
// Parameters: $model, $key, $rows ({block, by, stride, norm, activation, score, threshold, reason}; the stride is that of rows
// and of columns; what there is not is null).
MATCH (run:PruningRun {key: $key})
UNWIND $rows AS row
MATCH (b:Block {model: $model, name: row.block})
CREATE (run)-[:REPLACES {by: row.by, stride: row.stride, norm: row.norm, activation: row.activation, score: row.score,
                         threshold: row.threshold, reason: row.reason}]->(b)
