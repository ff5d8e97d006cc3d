// How critical each block is
// What the accuracy loses without each block by the scheme that misses it least (mean of its trials, without those that
// failed, of the budget that was stored last, of equal schemes by name), and after how many epochs all of them have 95 % of it
// again (0: before any training, null: not at all).
// Beside it what the graph says: its theta in the current run of $measure (null: the newest with thetas), or the mean theta of its
// convs where blocks have none of their own there.
// Needs: cnngraph criticality NAME
:params {"model": "OWNER/NAME", "measure": null};
MATCH (last:Criticality {model: $model})
WHERE last.failed IS NULL
WITH last ORDER BY last.createdAt DESC, last.key LIMIT 1
MATCH (c:Criticality {model: $model, budget: last.budget})-[of:OF]->(place:Block|Layer)
WHERE c.failed IS NULL
WITH place, c, of ORDER BY c.seed
WITH place, c.block AS block, c.scheme AS scheme, c.temperature AS temperature, c.alpha AS alpha, avg(c.value) AS value,
     avg(c.accuracy) AS accuracy, count(c) AS trials, CASE WHEN count(c.epochsTo95) = count(c) THEN max(c.epochsTo95) END AS epochs,
     head(collect(c)) AS c, head(collect(of)) AS of
ORDER BY round(value, 12), scheme
WITH place, block, head(collect({scheme: scheme, value: value, accuracy: accuracy, trials: trials, epochs: epochs, c: c, of: of})) AS best
CALL () {
  OPTIONAL MATCH (:Model {key: $model})-[current:CURRENT]->(run:MeasureRun)
  WHERE ($measure IS NULL AND run.reference IS NOT NULL) OR current.measure = $measure
  RETURN run ORDER BY run.createdAt DESC LIMIT 1
}
CALL (place, run) {
  OPTIONAL MATCH (run)-[own:SCORED]->(place)
  WHERE place:Block
  WITH place, run, own.theta AS theta
  OPTIONAL MATCH (run)-[scored:SCORED]->(l:Layer)
  WHERE place:Block AND (place)-[:CONTAINS]->(l)
  WITH theta, avg(scored.theta) AS mean
  RETURN coalesce(theta, mean) AS theta
}
RETURN block, CASE WHEN place:Block THEN place.kind END AS kind, best.value AS criticality, best.scheme AS best_scheme,
       best.accuracy AS accuracy, best.epochs AS epochs_to_95, best.trials AS trials, theta, run.measure AS measure,
       best.c AS trial, best.of AS of, place
ORDER BY criticality DESC, place.index, block LIMIT 145
