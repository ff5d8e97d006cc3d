// What two models have in common, layer by layer; one that is there stays as it is. Writes no property of another's node.
// No row where a model has other weights by now. Parameters: $key, $properties, $a, $b (keys of the models), $weights (sha256 of
// the weights of both), $measure, $rows ({a, b: names of layers, properties}).
MATCH (a:Model {key: $a, status: 'complete'}) WHERE coalesce(a.sha256, $weights[0]) = $weights[0]
MATCH (b:Model {key: $b, status: 'complete'}) WHERE coalesce(b.sha256, $weights[1]) = $weights[1]
MERGE (c:Comparison {key: $key})
ON CREATE SET c += $properties, c.createdAt = datetime()
MERGE (c)-[:OF {side: 'a'}]->(a)
MERGE (c)-[:OF {side: 'b'}]->(b)
WITH c
CALL (c) {
  UNWIND $rows AS row
  MATCH (x:Layer {model: $a, layer: row.a})
  MATCH (y:Layer {model: $b, layer: row.b})
  MERGE (x)-[s:SIMILAR {comparison: c.key, measure: $measure}]->(y)
  ON CREATE SET s += row.properties
  RETURN count(s) AS similar
}
RETURN c.key AS key, similar
