// The layers of a model in network order, each with its module's path and how many feature maps it has. Parameters: $model.
MATCH (l:Layer {model: $model}) WHERE l.layer IS NOT NULL
RETURN l.layer AS layer, l.module AS module, l.kind AS kind, COUNT { (l)-[:HAS_FEATURE_MAP]->(:FeatureMap) } AS maps
ORDER BY l.index
