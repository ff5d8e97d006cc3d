// What two models have in common, layer by layer; one that is there stays as it is. Writes no property of another's node.
// Parameters: $key, $properties, $a, $b (keys of the models), $measure, $rows ({a, b: names of layers, properties}).
MATCH (a:Model {key: $a, status: 'complete'})
MATCH (b:Model {key: $b, status: 'complete'})
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
