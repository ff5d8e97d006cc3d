// Layers, blocks, coupling groups, tensors, classes, runs with their steps, reviews, comparisons, criticality and evaluations:
// few. Parameters: $model.
MATCH (m:Model {key: $model})
CALL (m) {
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
DETACH DELETE n
