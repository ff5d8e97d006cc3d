// What stands in the graph of the CAR of a model's filters: the run that it belongs to, the layers that it has measured, and
// the modules behind them all (a module that is called twice is two layers). No row where there is no such model.
// Parameters: $model.
MATCH (m:Model {key: $model})
OPTIONAL MATCH (m)-[:CURRENT {measure: 'car'}]->(run:MeasureRun)
RETURN coalesce(m.fingerprint, '') AS fingerprint, run.key AS key, run.classImages AS class_images,
       COLLECT { MATCH (run)-[scored:SCORED]->(l:Layer) RETURN {layer: l.layer, value: scored.value} ORDER BY l.index } AS layers,
       COLLECT { MATCH (m)-[:HAS_LAYER]->(l:Layer) RETURN [l.layer, coalesce(l.sharedWith, l.layer)] ORDER BY l.index } AS modules,
       COLLECT { MATCH (m)-[:HAS_CLASS]->(c:Class) RETURN c.name ORDER BY c.index } AS classes
