// The feature maps and positions of a model with all that stands on them. Parameters: $key.
MATCH (n:FeatureMap {model: $key}) WHERE n.layer IS NOT NULL
RETURN elementId(n) AS id, labels(n) AS labels, properties(n) AS properties
UNION ALL
MATCH (n:Position {model: $key}) WHERE n.number IS NOT NULL
RETURN elementId(n) AS id, labels(n) AS labels, properties(n) AS properties
