// A PruningRun, ours or one that a person made, with what it removes in network order. Parameters: $key.
MATCH (run:PruningRun {key: $key})
RETURN run.method AS method, run.parameters AS parameters,
       COLLECT { MATCH (run)-[:OF]->(m:Model) RETURN m.key } AS models,
       COLLECT {
         MATCH (run)-[r:REMOVES]->(l:Layer)
         RETURN {model: l.model, layer: l.layer, block: r.block, score: r.score, threshold: r.threshold, reason: r.reason}
         ORDER BY l.index
       } AS removals,
       COUNT { (run)-[:REMOVES]->(:FeatureMap) } AS maps
