// What came of a model: `relation` says how. Parameters: $key.
MATCH path = (child:Model)-[:PRUNED_FROM|ADOPTED_FROM*1..]->(:Model {key: $key})
WITH child, nodes(path)[1] AS parent, relationships(path)[0] AS came, length(path) AS steps
OPTIONAL MATCH (parent)<-[:OF]-(run:PruningRun)-[:PRODUCED]->(child)
RETURN child.key AS model, CASE type(came) WHEN 'PRUNED_FROM' THEN parent.key END AS pruned_from, parent.key AS parent,
       steps, type(came) AS relation, run.key AS run, run.method AS method,
       COLLECT { MATCH (run)-[:REMOVES]->(l:Layer) RETURN l.layer ORDER BY l.index } AS removed,
       COLLECT { MATCH (run)-[:REPLACES]->(b:Block) RETURN b.name ORDER BY b.index } AS replaced,
       COLLECT {
         MATCH (run)-[:REMOVES]->(f:FeatureMap)<-[:HAS_FEATURE_MAP]-(l:Layer)
         WITH l, f ORDER BY l.index, f.channel
         WITH l, collect(f.channel) AS filters
         RETURN {layer: l.layer, filters: filters} ORDER BY l.index
       } AS filters
ORDER BY steps, model
