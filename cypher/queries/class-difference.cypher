// What differs between two classes
// In every layer the $top feature maps, and the $top positions, whose activation differs most between classes $first and
// $second (numbers). Scales differ from layer to layer: compare within one.
:params {"model": "OWNER/NAME", "first": 0, "second": 1, "top": 2};
MATCH (l:Layer {model: $model})
WHERE l.layer IS NOT NULL
CALL (l) {
  MATCH (l)-[has:HAS_FEATURE_MAP]->(f:FeatureMap)
  WITH has, f AS found, f.activation[toInteger($first)] AS a, f.activation[toInteger($second)] AS b
  WHERE a <> b
  RETURN has, found, a, b ORDER BY abs(a - b) DESC LIMIT toInteger($top)
  UNION ALL
  MATCH (p:Position {model: l.model, layer: l.layer})
  WITH p AS found, p.activation[toInteger($first)] AS a, p.activation[toInteger($second)] AS b
  WHERE a <> b
  RETURN null AS has, found, a, b ORDER BY abs(a - b) DESC LIMIT toInteger($top)
}
WITH l, has, found, a, b LIMIT 145
RETURN l.layer AS layer, found.channel AS channel, found.x AS x, found.y AS y, a AS first, b AS second,
       a - b AS difference, l, has, found
ORDER BY l.index, channel, x, y
