// The feature maps and positions of a model, each with what tells it apart within the model. Parameters: $key.
MATCH (n:FeatureMap {model: $key}) WHERE n.layer IS NOT NULL
RETURN elementId(n) AS id, 'FeatureMap' AS label, [n.layer, n.channel] AS identity
UNION ALL
MATCH (n:Position {model: $key}) WHERE n.number IS NOT NULL
RETURN elementId(n) AS id, 'Position' AS label, [n.number] AS identity
