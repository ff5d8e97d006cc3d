// What belongs to a model goes to its new key, and what bears its key in a key of its own. Parameters: $key, $new.
MATCH (m:Model {key: $key})
CALL (m) {
  MATCH (n:Position {model: m.key}) WHERE n.number IS NOT NULL
  RETURN n
  UNION
  MATCH (n:FeatureMap {model: m.key}) WHERE n.layer IS NOT NULL
  RETURN n
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
  MATCH (m)<-[:OF]-(n:MeasureRun|PruningRun|Evaluation|Review)
  RETURN n
  UNION
  MATCH (n:Criticality {model: m.key}) WHERE n.key IS NOT NULL
  RETURN n
}
WITH n, n:MeasureRun OR n:PruningRun OR n:Evaluation OR n:Review OR n:Criticality AS named
SET n.model = CASE n.model WHEN $key THEN $new ELSE n.model END,
    n.key = CASE WHEN named AND n.key STARTS WITH $key + '/' THEN $new + substring(n.key, size($key)) ELSE n.key END,
    n.parameters = CASE
      WHEN n:PruningRun THEN replace(n.parameters, '"model":"' + $key + '"', '"model":"' + $new + '"')
      ELSE n.parameters
    END
RETURN count(n) AS parts
