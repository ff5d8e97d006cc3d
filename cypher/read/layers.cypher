// Parameters: $key.
MATCH (l:Layer {model: $key})
RETURN properties(l) AS row
ORDER BY l.index
