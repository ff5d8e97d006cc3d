// All that the graph says of one filter: its map, the maps that respond like it, the classes that it serves; whether this
// person has judged it before. No row where the model is not what it was. Parameters: $model, $sha256, $layer, $channel, $by.
MATCH (m:Model {key: $model, sha256: $sha256})
MATCH (f:FeatureMap {model: $model, layer: $layer, channel: $channel})
RETURN f {.*} AS map,
       COLLECT {
         MATCH (f)-[t:RESEMBLES]-(o:FeatureMap)
         WITH o, max(abs(t.correlation)) AS strength, head(collect(t)) AS t
         RETURN {layer: o.layer, channel: o.channel, correlation: t.correlation, scope: t.scope}
         ORDER BY strength DESC, o.layer, o.channel LIMIT 12
       } AS twins,
       COLLECT {
         MATCH (f)-[s:SERVES]->(c:Class)
         RETURN {index: c.index, name: c.name, reduction: s.reduction, rank: s.rank}
         ORDER BY s.rank, c.index
       } AS serves,
       EXISTS { MATCH (:Review)-[j:JUDGED {by: $by}]->(f) WHERE j.decision <> 'undo' } AS judged
