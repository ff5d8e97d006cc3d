// The lease on a model. The SET takes the node's write lock first, so that no other writer's lease slips in between
// this look and the taking that follows in the same transaction. Parameters: $key.
MATCH (m:Model {key: $key})
SET m.leaseSeen = m.leaseSeen
RETURN m.leaseToken AS token, m.leaseOwner AS owner, m.leaseHost AS host, m.leasePid AS pid,
       m.leaseStarted AS started, (timestamp() - m.leaseSeen) / 1000.0 AS age
