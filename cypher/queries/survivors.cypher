// What survives as what
// The layers of the model beside those that they became in a pruned one, or that they come from.
:params {"model": "OWNER/NAME"};
MATCH (l:Layer {model: $model})-[survives:SURVIVES_AS]-(:Layer)
WHERE l.layer IS NOT NULL
WITH DISTINCT survives, startNode(survives) AS before, endNode(survives) AS after
RETURN before.model AS original, before.layer AS layer, after.model AS pruned, after.layer AS became,
       before.parameters AS parameters, after.parameters AS parameters_now, before, survives, after
ORDER BY pruned, before.index LIMIT 140
