// What the page says of a model as a whole. Parameters: $model.
MATCH (m:Model {key: $model})
RETURN m.sha256 AS sha256, m.inputShape AS input_shape,
       COLLECT { MATCH (m)-[:HAS_CLASS]->(c:Class) RETURN c.name ORDER BY c.index } AS classes,
       EXISTS { MATCH (f:FeatureMap {model: $model})-[:RESEMBLES]->() WHERE f.layer IS NOT NULL } AS correlated
