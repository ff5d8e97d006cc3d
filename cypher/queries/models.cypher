// Everybody's models
// All models in the database with their newest accuracy and size, notes and tags. With $tag only those that have it. `chosen`
// marks $model.
:params {"model": "OWNER/NAME", "tag": ""};
MATCH (m:Model)
WHERE m.key = m.owner + '/' + m.name AND ($tag = '' OR $tag IN m.tags)
WITH m ORDER BY m.key = $model DESC, m.createdAt DESC LIMIT 95
CALL (m) {
  OPTIONAL MATCH (e:Evaluation)-[of:OF]->(m)
  WHERE NOT coalesce(e.control, false)
  RETURN e, of
  ORDER BY coalesce(e.data = m.dataset, true) DESC, coalesce(e.child = m.key, false) DESC, e.createdAt DESC LIMIT 1
}
CALL (m) {
  OPTIONAL MATCH (m)-[from:PRUNED_FROM]->(parent:Model)
  RETURN from, parent LIMIT 1
}
RETURN m.key = $model AS chosen, m.owner AS owner, m.name AS name, m.architecture AS architecture, m.dataset AS dataset,
       m.status AS status, e.accuracy AS accuracy, m.parameters AS parameters, m.macs AS macs, m.tags AS tags, m.note AS note,
       m, e, of, from, parent
ORDER BY owner, name
