// Before a measure touches the nodes: what they carry belongs to no run until the new one is finished.
// Parameters: $model, $measure.
MATCH (:Model {key: $model})-[current:CURRENT {measure: $measure}]->(:MeasureRun)
DELETE current
