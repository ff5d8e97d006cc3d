// Parameters: $model, $size (nodes a transaction). In Browser put :auto before it.
MATCH (n:FeatureMap {model: $model})
WHERE n.layer IS NOT NULL
CALL (n) {
  DETACH DELETE n
} IN TRANSACTIONS OF $size ROWS
