// Before and after
// The evaluations of the model, of what it was pruned from and of what was pruned from it, each as of that prune. Beside
// `after` stands `control`: the unpruned net, retrained for as long.
:params {"model": "OWNER/NAME"};
MATCH (m:Model {key: $model})-[from:PRUNED_FROM]-(:Model)
WITH from, startNode(from) AS after, endNode(from) AS before ORDER BY after.createdAt DESC LIMIT 30
UNWIND [after, before] AS m
MATCH (e:Evaluation)-[of:OF]->(m)
WHERE (e.child = after.key OR e.child IS NULL AND NOT EXISTS { (:Evaluation {child: after.key})-[:OF]->(m) })
  AND (e.run IS NULL OR EXISTS { (:PruningRun {key: e.run})-[:PRODUCED]->(after) })
RETURN after.key AS pruned, before.key AS original,
       CASE WHEN e.control THEN 'control' WHEN m = after THEN 'after' ELSE 'before' END AS which,
       e.split AS split, e.accuracy AS accuracy, e.precision AS precision, e.recall AS recall,
       e.epochSeconds AS epoch_seconds, e.latencyMs AS latency_ms, m.parameters AS parameters, m.macs AS macs,
       e.device AS device, after, from, before, e, of
ORDER BY after.createdAt DESC, which DESC, e.createdAt LIMIT 200
