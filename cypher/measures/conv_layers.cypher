// The conv layers of a model, in network order. Parameters: $model.
MATCH (l:Layer:Conv {model: $model}) WHERE l.layer IS NOT NULL
RETURN l.layer AS layer
ORDER BY l.index
