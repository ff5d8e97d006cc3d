// All that people decided on the filters of a model, in the order in which it was stored, as one row: a row a choice would take
// the driver four times as long. Parameters: $model.
MATCH (:Model {key: $model})<-[:OF]-(r:Review)
OPTIONAL MATCH (r)-[j:JUDGED]->(f:FeatureMap)
WITH r, j, f
ORDER BY j.at, r.key, j.number
RETURN collect(DISTINCT r {.key, .sha256, .recipe}) AS reviews,
       collect(j {.id, .decision, .by, .lens, .undoes, .number, .blind, at: toString(j.at), layer: f.layer, channel: f.channel,
                  review: r.key}) AS choices
