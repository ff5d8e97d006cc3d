// Which of these choices are there already, whoever wrote them. Parameters: $model, $ids.
MATCH (:Model {key: $model})<-[:OF]-(r:Review)
UNWIND $ids AS id
MATCH (r)-[j:JUDGED {review: r.key, id: id}]->(f:FeatureMap)
RETURN j.id AS id, f.layer AS layer, f.channel AS channel, j.decision AS decision, j.by AS by
