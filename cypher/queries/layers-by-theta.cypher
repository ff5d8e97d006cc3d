// Layers by theta
// What the current run of $measure (null: the newest run with thetas) says of each layer, the one that goes first on top.
// theta = value / reference: a layer leaves at threshold t when theta < t.
:params {"model": "OWNER/NAME", "measure": null};
MATCH (:Model {key: $model})-[current:CURRENT]->(run:MeasureRun)
WHERE ($measure IS NULL AND run.reference IS NOT NULL) OR current.measure = $measure
WITH run ORDER BY run.createdAt DESC LIMIT 1
MATCH (run)-[scored:SCORED]->(l:Layer)
RETURN run.measure AS measure, l.layer AS layer, scored.theta AS theta, scored.value AS value,
       run.reference AS reference, l.parameters AS parameters, l.macs AS macs, run, scored, l
ORDER BY theta, l.index DESC LIMIT 250
