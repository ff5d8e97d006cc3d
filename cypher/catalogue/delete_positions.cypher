// Parameters: $model, $size (nodes a transaction). In Browser put :auto before it.
MATCH (n:Position {model: $model})
WHERE n.number IS NOT NULL
CALL (n) {
  DETACH DELETE n
} IN TRANSACTIONS OF $size ROWS
