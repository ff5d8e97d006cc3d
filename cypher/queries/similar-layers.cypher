// How similar the layers are
// The layers of the model with their counterparts in the model that it was compared with last, or in the comparison of the key
// $comparison: `value` beside `null`, which is what two nets that have nothing in common come to.
// Needs: cnngraph compare NAME OTHER
:params {"model": "OWNER/NAME", "comparison": ""};
MATCH (m:Model {key: $model})<-[of:OF]-(c:Comparison)-[other:OF]->(:Model)
WHERE other.side <> of.side AND (toString($comparison) = '' OR c.key = toString($comparison))
WITH DISTINCT m, of, c ORDER BY c.createdAt DESC, c.key LIMIT 1
MATCH (m)-[has:HAS_LAYER]->(l:Layer)-[similar:SIMILAR]-(counterpart:Layer)
WHERE similar.comparison = c.key AND similar.matchedBy IS NOT NULL AND (startNode(similar) = l) = (of.side = 'a')
RETURN l.layer AS layer, counterpart.model AS other_model, counterpart.layer AS other_layer, similar.matchedBy AS matched_by,
       similar.measure AS similarity, similar.value AS value, similar.null AS null_value, similar.images AS images,
       l, similar, counterpart, m, has, of, c
ORDER BY l.index LIMIT 140
