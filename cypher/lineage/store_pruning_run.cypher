// A decision: what goes, of which model, and why. Parameters: $model, $key, $method, $owner, $parameters (the plan as JSON).
MATCH (m:Model {key: $model})
MERGE (run:PruningRun {key: $key})
ON CREATE SET run.createdAt = datetime()
SET run.name = $method, run.model = $model, run.method = $method, run.owner = $owner, run.parameters = $parameters
MERGE (run)-[:OF]->(m)
WITH run
OPTIONAL MATCH (run)-[old:REMOVES|REPLACES]->()
DELETE old
