// The layers of a model some of whose weights are pruned. Parameters: $key.
MATCH (:Model {key: $key})-[:HAS_LAYER]->(l:Layer)
WHERE l.nonzero IS NOT NULL AND l.sharedWith IS NULL
RETURN l.layer AS layer, l.parameters AS parameters, l.nonzero AS nonzero
ORDER BY l.index
