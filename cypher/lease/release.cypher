// Parameters: $key, $token.
MATCH (m:Model {key: $key, leaseToken: $token})
REMOVE m.leaseToken, m.leaseOwner, m.leaseHost, m.leasePid, m.leaseStarted, m.leaseSeen
