// How many parameters of each layer are not pruned, on the layers whose weights have a mask.
// Parameters: $model, $rows ({layer: the path of its module, pruned: how many of its weights are}).
UNWIND $rows AS row
MATCH (l:Layer {model: $model})
WHERE coalesce(l.sharedWith, l.layer) = row.layer
SET l.nonzero = l.parameters - row.pruned
