// Most and least active feature maps
// The $top maps with the largest and the $top with the smallest mean activation over all classes, in $layer (null: in the
// whole model).
:params {"model": "OWNER/NAME", "layer": null, "top": 20};
MATCH (l:Layer {model: $model})-[has:HAS_FEATURE_MAP]->(f:FeatureMap)
WHERE l.layer = toString($layer) OR ($layer IS NULL AND l.layer IS NOT NULL)
WITH l, has, f, reduce(sum = 0.0, value IN f.activation | sum + value) / size(f.activation) AS activation
WHERE activation IS NOT NULL
ORDER BY activation DESC, l.index, f.channel
WITH collect({l: l, has: has, f: f, activation: activation}) AS ranked
UNWIND range(0, size(ranked) - 1) AS rank
WITH ranked, rank
WHERE rank < toInteger($top) OR rank >= size(ranked) - toInteger($top)
WITH rank, ranked[rank] AS row
RETURN rank + 1 AS rank, row.l.layer AS layer, row.f.channel AS channel, row.activation AS activation,
       row.f.apoz AS apoz, row.f.l2 AS l2, row.l AS l, row.has AS has, row.f AS f
ORDER BY rank LIMIT 140
