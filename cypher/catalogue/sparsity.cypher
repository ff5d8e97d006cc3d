// The layers of a model whose weights have a mask. Parameters: $key.
MATCH (:Model {key: $key})-[:HAS_LAYER]->(l:Layer)
WHERE l.masked IS NOT NULL AND l.sharedWith IS NULL
RETURN l.layer AS layer, l.masked AS weights, l.masked - (l.parameters - l.nonzero) AS alive
ORDER BY l.index
