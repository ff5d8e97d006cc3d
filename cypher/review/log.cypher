// All that people decided on the filters of a model, in the order in which it was stored. Parameters: $model.
MATCH (:Model {key: $model})<-[:OF]-(r:Review)
OPTIONAL MATCH (r)-[j:JUDGED]->(f:FeatureMap)
RETURN r.key AS review, r.sha256 AS sha256, r.recipe AS recipe,
       j {.id, .decision, .by, .lens, .undoes, .number, .blind, at: toString(j.at), layer: f.layer, channel: f.channel} AS choice
ORDER BY j.at, r.key, j.number
