// A model's own properties; no row where there is none. Parameters: $key.
MATCH (m:Model {key: $key})
RETURN m {.*, createdAt: toString(m.createdAt)} AS model
