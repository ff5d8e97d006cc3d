// Nodes and relationships of a model, as far as an ingest writes them. Parameters: $key.
MATCH (m:Model {key: $key})
WITH COUNT { MATCH (l:Layer {model: $key}) WHERE l.layer IS NOT NULL } AS layers,
     COUNT { MATCH (f:FeatureMap {model: $key}) WHERE f.layer IS NOT NULL } AS maps,
     COUNT { MATCH (p:Position {model: $key}) WHERE p.number IS NOT NULL } AS positions,
     COUNT { MATCH (b:Block {model: $key}) WHERE b.name IS NOT NULL } AS blocks,
     COUNT { MATCH (g:CouplingGroup {model: $key}) WHERE g.index IS NOT NULL } AS groups,
     COUNT { (m)-[:HAS_CLASS]->(:Class) } AS classes,
     COUNT { (m)-[:HAS_TENSOR]->(:Tensor) } AS tensors
RETURN 1 + layers + maps + positions + blocks + groups + classes + tensors AS nodes,
       classes + tensors
       + COUNT { MATCH (l:Layer {model: $key})<-[:HAS_LAYER]-() WHERE l.layer IS NOT NULL }
       + COUNT { MATCH (l:Layer {model: $key})-[:FEEDS]->() WHERE l.layer IS NOT NULL }
       + COUNT { MATCH (b:Block {model: $key})-[:CONTAINS]->() WHERE b.name IS NOT NULL }
       + COUNT { MATCH (f:FeatureMap {model: $key})<-[:HAS_FEATURE_MAP]-() WHERE f.layer IS NOT NULL }
       + COUNT { MATCH (f:FeatureMap {model: $key})-[:COUPLED_IN]->() WHERE f.layer IS NOT NULL }
       + COUNT { MATCH (f:FeatureMap {model: $key})-[:CONNECTS]->() WHERE f.layer IS NOT NULL }
       + COUNT { MATCH (f:FeatureMap {model: $key})-[:RESEMBLES]->() WHERE f.layer IS NOT NULL }
       + COUNT { MATCH (p:Position {model: $key})-[:ARC]->() WHERE p.number IS NOT NULL } AS relationships
