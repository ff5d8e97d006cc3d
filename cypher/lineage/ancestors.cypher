// Where a model comes from, the nearest parent first: `relation` says how. Parameters: $key.
MATCH path = (:Model {key: $key})-[:PRUNED_FROM|ADOPTED_FROM*1..]->(parent:Model)
WITH parent, nodes(path)[-2] AS child, relationships(path)[-1] AS came, length(path) AS steps
OPTIONAL MATCH (parent)<-[:OF]-(run:PruningRun)-[:PRODUCED]->(child)
RETURN parent.key AS model, child.key AS became, steps, type(came) AS relation, run.key AS run, run.method AS method,
       COLLECT { MATCH (run)-[:REMOVES]->(l:Layer) RETURN l.layer ORDER BY l.index } AS removed,
       COLLECT { MATCH (run)-[:REPLACES]->(b:Block) RETURN b.name ORDER BY b.index } AS replaced,
       COLLECT {
         MATCH (run)-[:REMOVES]->(f:FeatureMap)<-[:HAS_FEATURE_MAP]-(l:Layer)
         WITH l, f ORDER BY l.index, f.channel
         WITH l, collect(f.channel) AS filters
         RETURN {layer: l.layer, filters: filters} ORDER BY l.index
       } AS filters
ORDER BY steps
