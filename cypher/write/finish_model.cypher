// Everything is there and was counted. Parameters: $key.
MATCH (m:Model {key: $key})
SET m.status = 'complete'
