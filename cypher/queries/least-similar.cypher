// Least similar layers
// Of all comparisons of the model, the layers that have least in common with their counterparts, the $top lowest values.
// Needs: cnngraph compare NAME OTHER
:params {"model": "OWNER/NAME", "top": 20};
MATCH (m:Model {key: $model})-[:HAS_LAYER]->(l:Layer)-[similar:SIMILAR]-(counterpart:Layer)
WHERE similar.matchedBy IS NOT NULL AND similar.value IS NOT NULL
MATCH (c:Comparison {key: similar.comparison})
RETURN DISTINCT similar.value AS value, similar.null AS null_value, l.layer AS layer, counterpart.model AS other_model,
       counterpart.layer AS other_layer, similar.measure AS similarity, toString(c.createdAt) AS compared_at, l, similar, counterpart
ORDER BY value, l.index, other_model, other_layer LIMIT toInteger(CASE WHEN $top < 90 THEN $top ELSE 90 END)
