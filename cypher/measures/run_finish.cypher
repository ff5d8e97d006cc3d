// The last transaction of a measure: its run, each layer's value and theta, and the switch to it.
// Parameters: $model, $measure, $key, $parameters (JSON), $reference, $rule, $engine,
// $claims (more properties of the run), $layers ([{layer, value, theta}]).
MATCH (m:Model {key: $model})
MERGE (run:MeasureRun {key: $key})
SET run.name = $measure, run.model = $model, run.measure = $measure, run.parameters = $parameters,
    run.reference = $reference, run.referenceRule = $rule, run.engine = $engine, run.createdAt = datetime()
SET run += $claims
MERGE (run)-[:OF]->(m)
WITH m, run
CALL (run) {
  MATCH (run)-[old:SCORED]->(:Layer)
  DELETE old
}
CALL (run) {
  UNWIND $layers AS row
  MATCH (l:Layer {model: $model, layer: row.layer})
  CREATE (run)-[:SCORED {value: row.value, theta: row.theta}]->(l)
  RETURN count(l) AS scored
}
CALL (m) {
  MATCH (m)-[old:CURRENT {measure: $measure}]->()
  DELETE old
}
CREATE (m)-[:CURRENT {measure: $measure}]->(run)
RETURN scored
