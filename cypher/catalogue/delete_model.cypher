// Parameters: $key.
MATCH (m:Model {key: $key})
DETACH DELETE m
