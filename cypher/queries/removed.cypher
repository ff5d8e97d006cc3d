// What was removed and why
// The pruning runs of the model, and the one that made it, with every layer that they remove. Of filters there is one row a
// layer: their numbers in `filters`, their largest score, and in the picture the feature map of the first. A block for which
// one layer comes is a row too.
:params {"model": "OWNER/NAME"};
MATCH (:Model {key: $model})<-[:OF|PRODUCED]-(run:PruningRun)
WITH DISTINCT run ORDER BY run.createdAt DESC LIMIT 10
CALL (run) {
  OPTIONAL MATCH (run)-[produced:PRODUCED]->(new:Model)
  RETURN produced, new ORDER BY new.createdAt DESC LIMIT 1
}
CALL (run) {
  MATCH (run)-[removes:REMOVES]->(gone:Layer)
  RETURN gone.layer AS layer, gone.index AS place, [] AS filters, removes.score AS score, removes, gone
  UNION ALL
  MATCH (run)-[removes:REPLACES]->(gone:Block)
  RETURN gone.name AS layer, COLLECT { MATCH (gone)-[:CONTAINS]->(l:Layer) RETURN l.index ORDER BY l.index LIMIT 1 }[0] AS place,
         [] AS filters, removes.score AS score, removes, gone
  UNION ALL
  MATCH (run)-[one:REMOVES]->(f:FeatureMap)<-[:HAS_FEATURE_MAP]-(l:Layer)
  WITH l, f, one ORDER BY f.channel
  WITH l, collect(f) AS maps, collect(one) AS removals, max(one.score) AS score
  RETURN l.layer AS layer, l.index AS place, [f IN maps | f.channel] AS filters, score, removals[0] AS removes,
         maps[0] AS gone
}
RETURN run.key AS run_key, run.method AS method, layer, filters, score, removes.threshold AS threshold,
       removes.reason AS reason, new.key AS new_model, run, removes, gone, produced, new
ORDER BY run.createdAt DESC, place, layer LIMIT 250
