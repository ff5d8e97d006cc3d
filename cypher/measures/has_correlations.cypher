// Whether the maps of a model were compared. Parameters: $model, $scope (within a layer, or across layers).
MATCH (f:FeatureMap {model: $model})
WHERE f.layer IS NOT NULL AND EXISTS { (f)-[:RESEMBLES {scope: $scope}]-() }
RETURN true AS known LIMIT 1
