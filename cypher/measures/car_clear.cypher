// Before the CAR of a model is measured on other images: what another run left on its nodes goes, with what the run $key has
// left of an earlier time. Parameters: $model, $key (of the new run).
MATCH (m:Model {key: $model})
CALL (m) {
  MATCH (m)-[current:CURRENT {measure: 'car'}]->()
  DELETE current
}
CALL (m) {
  MATCH (:MeasureRun {key: $key})-[scored:SCORED]->(:Layer)
  DELETE scored
}
CALL (m) {
  MATCH (f:FeatureMap {model: m.key})-[serves:SERVES]->(:Class)
  WHERE f.layer IS NOT NULL
  DELETE serves
}
CALL (m) {
  MATCH (f:FeatureMap {model: m.key})
  WHERE f.layer IS NOT NULL AND f.car IS NOT NULL
  REMOVE f.car, f.carByClass
}
RETURN m.key AS model
