// A model and the nodes that belong to it, but its maps and positions, each with the first of our labels that it bears and what
// tells it apart within the model. Parameters: $key, $keys (by label the properties that do), $order (the labels of $keys).
MATCH (m:Model {key: $key})
CALL (m) {
  RETURN m AS n
  UNION
  MATCH (n:Layer {model: m.key}) WHERE n.layer IS NOT NULL
  RETURN n
  UNION
  MATCH (n:Block {model: m.key}) WHERE n.name IS NOT NULL
  RETURN n
  UNION
  MATCH (n:CouplingGroup {model: m.key}) WHERE n.index IS NOT NULL
  RETURN n
  UNION
  MATCH (m)-[:HAS_TENSOR]->(n:Tensor)
  RETURN n
  UNION
  MATCH (m)-[:HAS_CLASS]->(n:Class)
  RETURN n
  UNION
  MATCH (m)<-[:OF]-(n:MeasureRun|PruningRun|Evaluation|Review|Comparison)
  RETURN n
  UNION
  MATCH (m)<-[:OF]-(:PruningRun)<-[:OF]-(n:Step)
  RETURN n
  UNION
  MATCH (n:Criticality {model: m.key}) WHERE n.key IS NOT NULL
  RETURN n
}
WITH n, head([label IN $order WHERE label IN labels(n)]) AS label
RETURN elementId(n) AS id, label, [name IN $keys[label] | n[name]] AS identity
