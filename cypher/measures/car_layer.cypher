// The CAR of the filters of one layer, all in one transaction: its maps, the classes that they serve most and least, the mean
// on the layer, and the run as the current one. A measure that is killed leaves whole layers, and the next goes on. With the
// first layer of a run goes what another run left, no earlier.
// No row where the model was replaced meanwhile, or somebody has begun to measure it on other images.
// Parameters: $model, $fingerprint, $key, $begins (whether it is the run's first), $parameters (JSON), $claims (more properties of the run), $layers ([{layer, value}],
// the calls of one module), $rows ([{layer, channel, car, carByClass, serves: [{index, reduction, rank}]}]).
MATCH (m:Model {key: $model})
SET m.status = m.status
WITH m
WHERE m.status = 'complete' AND coalesce(m.fingerprint, '') = $fingerprint
  AND ($begins OR EXISTS { MATCH (m)-[:CURRENT {measure: 'car'}]->(:MeasureRun {key: $key}) })
CALL (m) {
  MATCH (m)-[current:CURRENT {measure: 'car'}]->()
  WHERE $begins
  DELETE current
}
CALL (m) {
  MATCH (m)<-[:OF]-(:MeasureRun {measure: 'car'})-[scored:SCORED]->(:Layer)
  WHERE $begins
  DELETE scored
}
CALL (m) {
  MATCH (f:FeatureMap {model: m.key})-[serves:SERVES]->(:Class)
  WHERE $begins AND f.layer IS NOT NULL
  DELETE serves
}
CALL (m) {
  MATCH (f:FeatureMap {model: m.key})
  WHERE $begins AND f.layer IS NOT NULL AND f.car IS NOT NULL
  REMOVE f.car, f.carByClass
}
MERGE (run:MeasureRun {key: $key})
SET run.name = 'car', run.model = $model, run.measure = 'car', run.parameters = $parameters, run.createdAt = datetime()
SET run += $claims
MERGE (run)-[:OF]->(m)
MERGE (m)-[:CURRENT {measure: 'car'}]->(run)
WITH run
CALL (run) {
  UNWIND $layers AS row
  MATCH (l:Layer {model: $model, layer: row.layer})
  MERGE (run)-[scored:SCORED]->(l)
  SET scored.value = row.value
}
CALL () {
  UNWIND $rows AS row
  MATCH (f:FeatureMap {model: $model, layer: row.layer, channel: row.channel})
  SET f.car = row.car, f.carByClass = row.carByClass
  WITH f, row
  UNWIND row.serves AS served
  MATCH (c:Class {model: $model, index: served.index})
  MERGE (f)-[serves:SERVES]->(c)
  SET serves.reduction = served.reduction, serves.rank = served.rank
}
RETURN run.key AS key
