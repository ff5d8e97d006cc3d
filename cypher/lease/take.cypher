// Parameters: $key, $token, $owner (of the writer), $host, $pid, $started (of the process, seconds since 1970). The time is the
// server's own.
MATCH (m:Model {key: $key})
SET m.leaseToken = $token, m.leaseOwner = $owner, m.leaseHost = $host, m.leasePid = $pid, m.leaseStarted = $started,
    m.leaseSeen = timestamp()
