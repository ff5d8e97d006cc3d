// Lineage
// The family of the model: what it was pruned or adopted from, everything that came of that, the runs between and the
// newest accuracy of each.
:params {"model": "OWNER/NAME"};
MATCH (:Model {key: $model})-[:PRUNED_FROM|ADOPTED_FROM*0..]->(root:Model)
WHERE NOT EXISTS { (root)-[:PRUNED_FROM|ADOPTED_FROM]->() }
MATCH path = (root)<-[:PRUNED_FROM|ADOPTED_FROM*0..]-(m:Model)
WITH m, min(length(path)) AS generation ORDER BY generation, m.createdAt LIMIT 70
OPTIONAL MATCH (m)-[from:PRUNED_FROM|ADOPTED_FROM]->(parent:Model)
CALL (m) {
  OPTIONAL MATCH (run:PruningRun)-[produced:PRODUCED]->(m)
  RETURN run, produced ORDER BY run.createdAt DESC LIMIT 1
}
CALL (m) {
  OPTIONAL MATCH (e:Evaluation)-[of:OF]->(m)
  WHERE NOT coalesce(e.control, false)
  RETURN e, of
  ORDER BY coalesce(e.data = m.dataset, true) DESC, coalesce(e.child = m.key, false) DESC, e.createdAt DESC LIMIT 1
}
RETURN generation, m.key AS model, parent.key AS came_from, run.method AS method, e.accuracy AS accuracy,
       m.parameters AS parameters, m.macs AS macs, m, from, parent, run, produced, e, of
ORDER BY generation, m.createdAt LIMIT 70
