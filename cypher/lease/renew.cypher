// No row where the lease is no longer ours. Parameters: $key, $token.
MATCH (m:Model {key: $key, leaseToken: $token})
SET m.leaseSeen = timestamp()
RETURN m.key AS key
