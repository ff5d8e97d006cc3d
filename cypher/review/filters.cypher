// The conv layers of a model whose filters a person can judge, in network order, and how many each has. A module that is called
// twice is one layer. Parameters: $model.
MATCH (l:Layer {model: $model})
WHERE l.layer IS NOT NULL
RETURN l.layer AS layer, l:Conv AS conv, l.sharedWith AS shared_with,
       COUNT { (l)-[:HAS_FEATURE_MAP]->(:FeatureMap) } AS filters
ORDER BY l.index
