// The lease on a model, as it is at the moment. Parameters: $key.
MATCH (m:Model {key: $key})
RETURN m.leaseToken AS token, m.leaseOwner AS owner, m.leaseHost AS host, m.leasePid AS pid, m.leaseStarted AS started,
       (timestamp() - m.leaseSeen) / 1000.0 AS age
