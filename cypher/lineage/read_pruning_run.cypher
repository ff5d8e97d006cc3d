// A PruningRun, ours or one that a person made, with what it removes in network order; a block that goes is
// there as its layers and, where the model has such nodes, as itself; one for which a layer comes as itself. Parameters: $key.
MATCH (run:PruningRun {key: $key})
RETURN run.method AS method, run.parameters AS parameters,
       COLLECT { MATCH (run)-[:OF]->(m:Model) RETURN m.key } AS models,
       COLLECT {
         MATCH (run)-[r:REMOVES]->(l:Layer)
         RETURN {model: l.model, layer: l.layer, block: r.block, score: r.score, threshold: r.threshold, reason: r.reason}
         ORDER BY l.index
       } AS removals,
       COLLECT {
         MATCH (run)-[r:REMOVES]->(b:Block)
         RETURN {model: b.model, layer: b.name, block: b.name, score: r.score, threshold: r.threshold, reason: r.reason}
         ORDER BY b.index
       } AS blocks,
       COLLECT {
         MATCH (run)-[r:REPLACES]->(b:Block)
         RETURN r {.by, .stride, .norm, .activation, .score, .threshold, .reason, model: b.model, layer: b.name}
         ORDER BY b.index
       } AS replaced,
       COLLECT {
         MATCH (run)-[r:REMOVES]->(f:FeatureMap)<-[:HAS_FEATURE_MAP]-(l:Layer)
         RETURN {model: f.model, layer: coalesce(l.sharedWith, l.layer), channel: f.channel, score: r.score,
                 threshold: r.threshold, reason: r.reason, step: r.step}
         ORDER BY l.index, f.channel
       } AS filters,
       COLLECT {
         MATCH (run)-[r:MASKS]->(l:Layer)
         WITH l, r ORDER BY r.round DESC
         WITH l, head(collect(r)) AS r
         RETURN {model: l.model, layer: l.layer, mask: r.mask, alive: r.alive}
         ORDER BY l.index
       } AS masks
