// Parameters: $key.
MATCH (:Model {key: $key})<-[:OF]-(e:Evaluation)
RETURN e {.*, createdAt: toString(e.createdAt)} AS evaluation
ORDER BY e.createdAt, e.key
