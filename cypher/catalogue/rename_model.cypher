// The last part of a renaming: the Model itself, which nobody holds any more. No row where another writer has taken the
// model over meanwhile. Parameters: $key, $new, $name, $token (of the lease).
MATCH (m:Model {key: $key, leaseToken: $token})
SET m.key = $new, m.name = $name
REMOVE m.leaseToken, m.leaseOwner, m.leaseHost, m.leasePid, m.leaseStarted, m.leaseSeen
RETURN m.key AS key
