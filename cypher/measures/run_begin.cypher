// Before a measure touches the nodes: what they carry belongs to no run until the new one is finished. The fingerprint says
// whether the model is still the same then. Parameters: $model, $measure.
MATCH (m:Model {key: $model})
CALL (m) {
  MATCH (m)-[current:CURRENT {measure: $measure}]->(:MeasureRun)
  DELETE current
}
RETURN coalesce(m.fingerprint, '') AS fingerprint
