// Where a model stands; no row where there is none. Parameters: $key.
MATCH (m:Model {key: $key})
RETURN m.status AS status, m.fingerprint AS fingerprint
