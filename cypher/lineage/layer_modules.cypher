// The layers of a model in network order, each with its module's path. Parameters: $model.
MATCH (l:Layer {model: $model}) WHERE l.layer IS NOT NULL
RETURN l.layer AS layer, l.module AS module, l.kind AS kind
ORDER BY l.index
