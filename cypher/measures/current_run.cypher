// The run to which the scores on the nodes belong; no row where they belong to none. Parameters: $model, $measure.
MATCH (:Model {key: $model})-[:CURRENT {measure: $measure}]->(run:MeasureRun)
RETURN run.key AS key
