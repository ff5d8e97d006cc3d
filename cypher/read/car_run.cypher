// The run that the CAR of a model's filters belongs to, with the layers that it has measured; no row where there is none.
// Parameters: $key.
MATCH (m:Model {key: $key})-[:CURRENT {measure: 'car'}]->(run:MeasureRun)
RETURN run {.key, .parameters, .baseline, .images, .judgedOn, .classImages,
            scored: COLLECT { MATCH (run)-[s:SCORED]->(l:Layer) RETURN [l.layer, s.value] ORDER BY l.index }} AS row
