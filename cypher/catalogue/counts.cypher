// What a model has in the database. Parameters: $key.
MATCH (m:Model {key: $key})
RETURN COUNT { MATCH (l:Layer {model: $key}) WHERE l.layer IS NOT NULL } AS layers,
       COUNT { MATCH (f:FeatureMap {model: $key}) WHERE f.layer IS NOT NULL } AS feature_maps,
       COUNT { MATCH (f:FeatureMap {model: $key})-[:CONNECTS]->() WHERE f.layer IS NOT NULL } AS connections,
       COUNT { MATCH (p:Position {model: $key}) WHERE p.number IS NOT NULL } AS positions,
       COUNT { MATCH (p:Position {model: $key})-[:ARC]->() WHERE p.number IS NOT NULL } AS arcs,
       COUNT { MATCH (b:Block {model: $key}) WHERE b.name IS NOT NULL } AS blocks,
       COUNT { MATCH (g:CouplingGroup {model: $key}) WHERE g.index IS NOT NULL } AS coupling_groups,
       COUNT { (m)-[:HAS_CLASS]->(:Class) } AS classes,
       COUNT { MATCH (l:Layer {model: $key})-[:FEEDS]->() WHERE l.layer IS NOT NULL } AS feeds,
       COUNT { MATCH (f:FeatureMap {model: $key})-[:RESEMBLES]->() WHERE f.layer IS NOT NULL } AS resemblances,
       COUNT { (m)-[:HAS_TENSOR]->(:Tensor) } AS tensors
