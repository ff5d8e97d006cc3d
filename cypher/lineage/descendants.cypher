// What came of a model. Parameters: $key.
MATCH path = (child:Model)-[:PRUNED_FROM*1..]->(:Model {key: $key})
WITH child, nodes(path)[1] AS parent, length(path) AS steps
OPTIONAL MATCH (parent)<-[:OF]-(run:PruningRun)-[:PRODUCED]->(child)
RETURN child.key AS model, parent.key AS pruned_from, steps, run.key AS run, run.method AS method,
       COLLECT { MATCH (run)-[:REMOVES]->(l:Layer) RETURN l.layer ORDER BY l.index } AS removed
ORDER BY steps, model
