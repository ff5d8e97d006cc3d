// Where others name a model or a decision about it: judgements, steps of the prune that made it, comparisons, and the choices
// of its reviews. Parameters: $key, $new; the runs of the model have their new keys.
MATCH (m:Model {key: $key})
CALL (m) {
  // its own judgements, and those of the models that it came from and that came of it
  MATCH (m)-[:PRUNED_FROM|ADOPTED_FROM*0..1]-(:Model)<-[:OF]-(e:Evaluation)
  WITH DISTINCT e
  WHERE e.child = $key OR e.run STARTS WITH $key + '/'
  SET e.child = CASE e.child WHEN $key THEN $new ELSE e.child END,
      e.run = CASE WHEN e.run STARTS WITH $key + '/' THEN $new + substring(e.run, size($key)) ELSE e.run END
}
CALL (m) {
  MATCH (m)<-[:PRODUCED]-(:PruningRun)<-[:OF]-(s:Step {child: $key})
  SET s.child = $new
}
CALL (m) {
  MATCH (m)<-[:OF]-(run:PruningRun)<-[:OF]-(s:Step)
  SET s.run = run.key
}
CALL (m) {
  MATCH (m)<-[:OF]-(c:Comparison)
  SET c.a = CASE c.a WHEN $key THEN $new ELSE c.a END,
      c.b = CASE c.b WHEN $key THEN $new ELSE c.b END
}
CALL (m) {
  MATCH (m)<-[:OF]-(r:Review)-[j:JUDGED]->()
  SET j.review = r.key
}
