// Nobody else joins these models meanwhile: the lock is held until the transaction ends. Parameters: $keys (in order).
UNWIND $keys AS key
MATCH (m:Model {key: key})
SET m.key = m.key
RETURN m.key AS key
