// The decisions about a model, with the layers and the filters that each removes. Parameters: $key.
MATCH (:Model {key: $key})<-[:OF]-(run:PruningRun)
RETURN run.key AS key, run.method AS method, run.owner AS owner, toString(run.createdAt) AS created_at,
       COLLECT { MATCH (run)-[:REMOVES]->(l:Layer) RETURN l.layer ORDER BY l.index } AS removed,
       COLLECT { MATCH (run)-[:REPLACES]->(b:Block) RETURN b.name ORDER BY b.index } AS replaced,
       COLLECT {
         MATCH (run)-[:REMOVES]->(f:FeatureMap)<-[:HAS_FEATURE_MAP]-(l:Layer)
         WITH l, f ORDER BY l.index, f.channel
         WITH l, collect(f.channel) AS filters
         RETURN {layer: l.layer, filters: filters} ORDER BY l.index
       } AS filters,
       COLLECT { MATCH (run)-[:PRODUCED]->(child:Model) RETURN child.key ORDER BY child.key } AS produced
ORDER BY created_at, key
