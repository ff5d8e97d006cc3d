// What was removed and why
// The pruning runs of the model, and the one that made it, with every layer or feature map that they remove.
:params {"model": "OWNER/NAME"};
MATCH (:Model {key: $model})<-[:OF|PRODUCED]-(run:PruningRun)
WITH DISTINCT run ORDER BY run.createdAt DESC LIMIT 10
CALL (run) {
  OPTIONAL MATCH (run)-[produced:PRODUCED]->(new:Model)
  RETURN produced, new ORDER BY new.createdAt DESC LIMIT 1
}
MATCH (run)-[removes:REMOVES]->(gone)
RETURN run.key AS run_key, run.method AS method, gone.layer AS layer, gone.channel AS channel, removes.score AS score,
       removes.threshold AS threshold, removes.reason AS reason, new.key AS new_model, run, removes, gone, produced, new
ORDER BY run.createdAt DESC, gone.index, gone.layer, channel LIMIT 250
