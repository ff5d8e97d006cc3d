// Whether a comparison is there. Parameters: $key.
MATCH (c:Comparison {key: $key})
RETURN toString(c.createdAt) AS created_at
