// Parameters: $key.
MATCH (:Model {key: $key})-[:HAS_CLASS]->(c:Class)
RETURN properties(c) AS row
ORDER BY c.index
