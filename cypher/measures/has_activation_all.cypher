// Whether a model has the activations over all images alike. Parameters: $model.
MATCH (p:Position {model: $model})
WHERE p.number IS NOT NULL AND p.activationAll IS NOT NULL
RETURN true AS known LIMIT 1
