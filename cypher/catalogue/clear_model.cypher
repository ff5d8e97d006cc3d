// The Model of a replaced net keeps its key and its lease, and loses all else but what people said of it. Parameters: $key.
MATCH (m:Model {key: $key})
OPTIONAL MATCH (m)-[r]-()
DELETE r
WITH DISTINCT m, m {.key, .owner, .name, .leaseToken, .leaseOwner, .leaseHost, .leasePid, .leaseStarted, .leaseSeen, .note, .tags} AS kept
SET m = kept
SET m.status = 'loading'
