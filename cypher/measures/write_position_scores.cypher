// Scores that were computed outside the database, onto the positions.
// Parameters: $model, $rows ([{number, scores: {name: value}}]).
UNWIND $rows AS row
MATCH (p:Position {model: $model, number: row.number})
SET p += row.scores
