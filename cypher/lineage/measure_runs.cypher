// Parameters: $key.
MATCH (m:Model {key: $key})<-[:OF]-(run:MeasureRun)
RETURN run.key AS key, run.measure AS measure, run.parameters AS parameters, run.reference AS reference,
       EXISTS { (m)-[:CURRENT]->(run) } AS current, toString(run.createdAt) AS created_at
ORDER BY created_at, key
