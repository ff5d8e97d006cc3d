// Of the layers whose weights have a mask: how many weights it is about, and how many of all parameters are not pruned.
// Parameters: $model, $rows ({layer: the path of its module, weights: that its mask is about, alive: of these}).
UNWIND $rows AS row
MATCH (l:Layer {model: $model})
WHERE l.layer IS NOT NULL AND coalesce(l.sharedWith, l.layer) = row.layer
SET l.masked = row.weights, l.nonzero = l.parameters - (row.weights - row.alive)
