// What a review is bound to. The SET locks the model, so that it is not replaced while choices are written. Parameters: $model.
MATCH (m:Model {key: $model})
SET m.key = m.key
RETURN m.status AS status, m.sha256 AS sha256, m.recipe AS recipe
