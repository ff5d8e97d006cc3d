// Scores that were computed outside the database, onto the feature maps.
// Parameters: $model, $rows ([{layer, channel, scores: {name: value}}]).
UNWIND $rows AS row
MATCH (f:FeatureMap {model: $model, layer: row.layer, channel: row.channel})
SET f += row.scores
