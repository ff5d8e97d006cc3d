// Parameters: $model, $rows (the properties of one position each). In Browser put :auto before it.
UNWIND $rows AS row
CALL (row) {
  MERGE (p:Position {model: $model, number: row.number})
  ON CREATE SET p = row
} IN 2 CONCURRENT TRANSACTIONS OF 5000 ROWS
