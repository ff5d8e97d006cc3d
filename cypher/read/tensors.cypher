// Weights, in the order of the state dict. Parameters: $key, $first, $last (places in that order).
MATCH (t:Tensor {model: $key})
WHERE t.name IS NOT NULL AND $first <= t.index <= $last
RETURN properties(t) AS row
ORDER BY t.index
