// The last transaction of a measure: its run, the value and theta of each layer and of blocks that have one of their own (as
// far as the model has Block nodes; `blocks` says how many there were), the switch to it, and the labels Theta1 .. Theta5
// by which Browser draws the layers small or large: under 0.5, 1, 2, 4, and from 4 on.
// No row where the model was replaced meanwhile; the SET locks it, so that two measures end one after the other.
// Parameters: $model, $fingerprint, $measure, $key, $parameters (JSON), $reference, $rule, $engine,
// $gds (version of Graph Data Science where that computed it, else null), $claims (more properties of the run), $layers ([{layer, value, theta}]),
// $blocks ([{block, value, theta}]).
MATCH (m:Model {key: $model})
SET m.status = m.status
WITH m WHERE m.status = 'complete' AND coalesce(m.fingerprint, '') = $fingerprint
MERGE (run:MeasureRun {key: $key})
SET run.name = $measure, run.model = $model, run.measure = $measure, run.parameters = $parameters,
    run.reference = $reference, run.referenceRule = $rule, run.engine = $engine, run.gdsVersion = $gds, run.createdAt = datetime(),
    run.blocks = size($blocks)
SET run += $claims
MERGE (run)-[:OF]->(m)
WITH m, run
CALL (run) {
  MATCH (run)-[old:SCORED]->()
  DELETE old
}
CALL (m) {
  MATCH (m)-[:HAS_LAYER]->(l:Layer)
  REMOVE l:Theta1:Theta2:Theta3:Theta4:Theta5
}
CALL (run) {
  UNWIND $layers AS row
  MATCH (l:Layer {model: $model, layer: row.layer})
  CREATE (run)-[:SCORED {value: row.value, theta: row.theta}]->(l)
  SET l:$(CASE WHEN row.theta < 0.5 THEN 'Theta1' WHEN row.theta < 1 THEN 'Theta2' WHEN row.theta < 2 THEN 'Theta3'
               WHEN row.theta < 4 THEN 'Theta4' ELSE 'Theta5' END)
  RETURN count(l) AS scored
}
CALL (run) {
  UNWIND $blocks AS row
  MATCH (b:Block {model: $model, name: row.block})
  CREATE (run)-[:SCORED {value: row.value, theta: row.theta}]->(b)
}
CALL (m) {
  MATCH (m)-[old:CURRENT {measure: $measure}]->()
  DELETE old
}
CREATE (m)-[:CURRENT {measure: $measure}]->(run)
RETURN scored
