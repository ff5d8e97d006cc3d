// Where others name a model or a decision about it: judgements, steps of the prune that made it, comparisons, and the choices
// of its reviews. Parameters: $key, $new; the runs of the model have their new keys.
CALL () {
  MATCH (e:Evaluation) WHERE e.child = $key OR e.run STARTS WITH $key + '/'
  SET e.child = CASE e.child WHEN $key THEN $new ELSE e.child END,
      e.run = CASE WHEN e.run STARTS WITH $key + '/' THEN $new + substring(e.run, size($key)) ELSE e.run END
}
CALL () {
  MATCH (:Model {key: $key})<-[:PRODUCED]-(:PruningRun)<-[:OF]-(s:Step {child: $key})
  SET s.child = $new
}
CALL () {
  MATCH (:Model {key: $key})<-[:OF]-(run:PruningRun)<-[:OF]-(s:Step)
  SET s.run = run.key
}
CALL () {
  MATCH (:Model {key: $key})<-[:OF]-(c:Comparison)
  SET c.a = CASE c.a WHEN $key THEN $new ELSE c.a END,
      c.b = CASE c.b WHEN $key THEN $new ELSE c.b END
}
CALL () {
  MATCH (:Model {key: $key})<-[:OF]-(r:Review)-[j:JUDGED]->()
  SET j.review = r.key
}
