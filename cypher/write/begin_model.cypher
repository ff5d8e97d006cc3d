// What is known of the net as a whole, written before its first element. Parameters: $key, $properties.
MATCH (m:Model {key: $key})
SET m += $properties, m.status = 'loading', m.createdAt = datetime()
