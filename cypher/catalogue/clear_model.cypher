// The Model of a replaced net keeps its key and its lease, and loses all else. Parameters: $key.
MATCH (m:Model {key: $key})
OPTIONAL MATCH (m)-[r]-()
DELETE r
WITH DISTINCT m, m {.key, .owner, .name, .leaseToken, .leaseOwner, .leaseHost, .leasePid, .leaseStarted, .leaseSeen} AS kept
SET m = kept
SET m.status = 'loading'
