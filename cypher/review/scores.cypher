// What the machine says of the filters: CAR where it was measured, and the L2 norm of the weights. Parameters: $model.
MATCH (l:Layer:Conv {model: $model})-[:HAS_FEATURE_MAP]->(f:FeatureMap)
WHERE l.layer IS NOT NULL AND l.sharedWith IS NULL
RETURN f.layer AS layer, f.channel AS channel, f.car AS car, f.l2 AS magnitude
