// Everybody's models, with the figures that one compares: on their own data, of their own making, the newest.
// A node that only shares the label with us has no such key. Parameters: $owner, $tag: only those (null: all).
MATCH (m:Model)
WHERE m.key = m.owner + '/' + m.name AND ($owner IS NULL OR m.owner = $owner) AND ($tag IS NULL OR $tag IN m.tags)
CALL (m) {
  OPTIONAL MATCH (e:Evaluation {split: 'test'})-[:OF]->(m)
  WHERE NOT coalesce(e.control, false)
  RETURN e.accuracy AS accuracy, e.latencyMs AS latency_ms
  ORDER BY coalesce(e.data = m.dataset, true) DESC, coalesce(e.child = m.key, false) DESC, e.createdAt DESC LIMIT 1
}
CALL (m) {
  OPTIONAL MATCH (m)-[:PRUNED_FROM]->(parent:Model)
  RETURN parent.key AS pruned_from ORDER BY pruned_from LIMIT 1
}
CALL (m) {
  OPTIONAL MATCH (m)-[:ADOPTED_FROM]->(parent:Model)
  RETURN parent.key AS adopted_from ORDER BY adopted_from LIMIT 1
}
RETURN m.key AS model, m.name AS name, m.architecture AS architecture, m.dataset AS dataset, m.owner AS owner,
       m.status AS status, pruned_from, adopted_from, accuracy,
       m.parameters AS parameters, m.macs AS macs, latency_ms,
       coalesce(m.tags, []) AS tags, m.note AS note
ORDER BY m.owner, m.name
