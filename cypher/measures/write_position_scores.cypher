// Scores that were computed outside the database, onto the positions.
// Parameters: $model, $rows ([{layer, x, y, scores: {name: value}}]).
UNWIND $rows AS row
MATCH (p:Position {model: $model, layer: row.layer, x: row.x, y: row.y})
SET p += row.scores
