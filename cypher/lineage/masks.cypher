// How many weights of each layer were left by each round of the prune that made a model. Parameters: $key.
MATCH (:Model {key: $key})<-[:PRODUCED]-(:PruningRun)-[masks:MASKS]->(l:Layer)
RETURN masks.round AS round, l.layer AS layer, masks.alive AS alive, masks.weights AS weights
ORDER BY round, l.index
