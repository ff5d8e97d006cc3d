// What is left of each layer, round by round
// The masks that pruning runs of the model, and the one that made it, put on the weights of layers: how many are alive after
// each round, of how many, and as a share.
:params {"model": "OWNER/NAME"};
MATCH (:Model {key: $model})<-[:OF|PRODUCED]-(run:PruningRun)
WITH DISTINCT run ORDER BY run.createdAt DESC LIMIT 3
MATCH (run)-[masks:MASKS]->(l:Layer)
RETURN run.key AS run_key, masks.round AS round, l.layer AS layer, masks.alive AS alive, masks.weights AS weights,
       toFloat(masks.alive) / masks.weights AS share, run, masks, l
ORDER BY run.createdAt DESC, round, l.index LIMIT 250
