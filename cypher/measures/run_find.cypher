// A finished run of a measure with its layers in network order; no row where there is none.
// Parameters: $model, $key (of the run).
MATCH (run:MeasureRun {key: $key})-[:OF]->(:Model {key: $model})
MATCH (run)-[scored:SCORED]->(l:Layer)
WITH run, scored, l ORDER BY l.index
RETURN run.reference AS reference, collect({layer: l.layer, value: scored.value, theta: scored.theta}) AS layers
