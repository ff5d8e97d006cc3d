// Parameters: $key.
MATCH (l:Layer {model: $key}) WHERE l.layer IS NOT NULL
RETURN properties(l) AS row
ORDER BY l.index
