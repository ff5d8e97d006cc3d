// Whether the maps of a model were compared across layers. Parameters: $model.
MATCH (f:FeatureMap {model: $model})
WHERE f.layer IS NOT NULL AND EXISTS { (f)-[:RESEMBLES {scope: 'across'}]-() }
RETURN true AS known LIMIT 1
