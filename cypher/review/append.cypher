// Choices of people, added to a log; one that is there already is left as it is. The server says the time, but for a choice
// that has been stored before elsewhere. Parameters: $model, $key (of the review), $rows.
MATCH (r:Review {key: $key})
UNWIND $rows AS row
MATCH (f:FeatureMap {model: $model, layer: row.layer, channel: row.channel})
MERGE (r)-[j:JUDGED {review: $key, id: row.id}]->(f)
ON CREATE SET j += row.properties, j.at = coalesce(datetime(row.at), datetime())
WITH r, max(j.number) AS last
SET r.choices = last
