// Which of some filters this person has judged before. Parameters: $model, $rows ({layer, channel}), $by.
UNWIND $rows AS row
MATCH (f:FeatureMap {model: $model, layer: row.layer, channel: row.channel})
WHERE EXISTS { MATCH (:Review)-[j:JUDGED {by: $by}]->(f) WHERE j.decision <> 'undo' }
RETURN DISTINCT f.layer AS layer, f.channel AS channel
