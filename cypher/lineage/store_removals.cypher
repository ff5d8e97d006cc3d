// Parameters: $model, $key, $rows ({layer, block, score, threshold, reason}; block is null where a layer goes by itself).
MATCH (run:PruningRun {key: $key})
UNWIND $rows AS row
MATCH (l:Layer {model: $model, layer: row.layer})
CREATE (run)-[:REMOVES {score: row.score, threshold: row.threshold, reason: row.reason, block: row.block}]->(l)
RETURN count(l) AS removals
