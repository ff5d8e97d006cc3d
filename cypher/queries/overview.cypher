// Overview of a model
// Its layers and how they feed each other, from layer number $from on, theta of the current run of $measure (null: the
// newest that has any) on the SCORED relationships and as `size`. What the newest pruning run removes hangs on red REMOVES.
// With cypher/style.grass a layer is drawn the larger, the larger its theta of the newest run, and red where it is removed.
:params {"model": "OWNER/NAME", "measure": null, "from": 0};
MATCH (m:Model {key: $model})-[:HAS_LAYER]->(l:Layer)
WHERE l.index >= toInteger($from)
WITH m, l ORDER BY l.index LIMIT 250
WITH m, collect(l) AS shown
CALL (m) {
  OPTIONAL MATCH (m)-[current:CURRENT]->(found:MeasureRun)
  WHERE ($measure IS NULL AND found.reference IS NOT NULL) OR current.measure = $measure
  RETURN found AS run ORDER BY found.createdAt DESC LIMIT 1
}
CALL (m) {
  OPTIONAL MATCH (found:PruningRun)-[:OF]->(m)
  RETURN found AS pruning ORDER BY found.createdAt DESC LIMIT 1
}
UNWIND shown AS l
OPTIONAL MATCH (run)-[scored:SCORED]->(l)
OPTIONAL MATCH (pruning)-[removes:REMOVES]->(l)
RETURN l.index AS index, l.layer AS layer, l.kind AS kind, l.parameters AS parameters, l.macs AS macs,
       scored.theta AS theta,
       CASE WHEN scored.theta > 0 THEN toInteger(20 + 10 * log(1 + scored.theta) / log(2)) ELSE 20 END AS size,
       CASE WHEN removes IS NULL THEN 'kept' ELSE 'removed' END AS fate,
       l, [(l)-[feeds:FEEDS]->(next:Layer) WHERE next IN shown | feeds] AS feeds,
       CASE WHEN scored IS NULL THEN null ELSE run END AS run, scored,
       CASE WHEN removes IS NULL THEN null ELSE pruning END AS pruning, removes
ORDER BY index
