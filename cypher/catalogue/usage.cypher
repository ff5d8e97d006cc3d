// What each model takes of the database, everybody's: nodes and relationships. Those that lead to another model's nodes count
// where they begin.
MATCH (m:Model)
WHERE m.key = m.owner + '/' + m.name
CALL (m) {
  MATCH (p:Position {model: m.key}) WHERE p.number IS NOT NULL
  RETURN count(p) AS nodes, sum(COUNT { (p)-->() }) AS relationships
  UNION ALL
  MATCH (f:FeatureMap {model: m.key}) WHERE f.layer IS NOT NULL
  RETURN count(f) AS nodes, sum(COUNT { (f)-->() }) AS relationships
  UNION ALL
  MATCH (l:Layer {model: m.key}) WHERE l.layer IS NOT NULL
  RETURN count(l) AS nodes, sum(COUNT { (l)-->() }) AS relationships
  UNION ALL
  MATCH (b:Block {model: m.key}) WHERE b.name IS NOT NULL
  RETURN count(b) AS nodes, sum(COUNT { (b)-->() }) AS relationships
  UNION ALL
  MATCH (g:CouplingGroup {model: m.key}) WHERE g.index IS NOT NULL
  RETURN count(g) AS nodes, sum(COUNT { (g)-->() }) AS relationships
  UNION ALL
  MATCH (m)-[:HAS_TENSOR|HAS_CLASS]->(n:Tensor|Class)
  RETURN count(n) AS nodes, sum(COUNT { (n)-->() }) AS relationships
  UNION ALL
  MATCH (m)<-[:OF]-(n:MeasureRun|PruningRun|Evaluation|Review)
  RETURN count(n) AS nodes, sum(COUNT { (n)-->() }) AS relationships
  UNION ALL
  MATCH (m)<-[:OF {side: 'a'}]-(n:Comparison)
  RETURN count(n) AS nodes, sum(COUNT { (n)-->() }) AS relationships
  UNION ALL
  MATCH (m)<-[:OF]-(:PruningRun)<-[:OF]-(n:Step)
  RETURN count(n) AS nodes, sum(COUNT { (n)-->() }) AS relationships
  UNION ALL
  MATCH (n:Criticality {model: m.key}) WHERE n.key IS NOT NULL
  RETURN count(n) AS nodes, sum(COUNT { (n)-->() }) AS relationships
}
WITH m, 1 + sum(nodes) AS nodes, COUNT { (m)-->() } + sum(relationships) AS relationships
RETURN m.key AS model, m.owner AS owner, m.name AS name, m.status AS status, toString(m.createdAt) AS created_at, nodes, relationships
ORDER BY nodes + relationships DESC, model
