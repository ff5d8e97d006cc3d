// What a class lights up
// In every layer the $top feature maps, and the $top positions, whose activation rises most above the mean of the classes
// when class $class (a number or a name, null for the first) is shown. Scales differ from layer to layer: compare within one.
:params {"model": "OWNER/NAME", "class": null, "top": 2};
MATCH (c:Class {model: $model})
WHERE c.index IS NOT NULL AND toString(coalesce($class, 0)) IN [c.name, toString(c.index), toString(toFloat(c.index))]
WITH c ORDER BY c.name = toString($class) DESC LIMIT 1
MATCH (l:Layer {model: $model})
WHERE l.layer IS NOT NULL
CALL (c, l) {
  MATCH (l)-[has:HAS_FEATURE_MAP]->(f:FeatureMap)
  WITH has, f AS lit, f.activation[c.index] AS activation,
       reduce(sum = 0.0, value IN f.activation | sum + value) / size(f.activation) AS mean
  WHERE activation > mean
  RETURN has, lit, activation, mean ORDER BY activation - mean DESC LIMIT toInteger($top)
  UNION ALL
  MATCH (p:Position {model: l.model, layer: l.layer})
  WITH p AS lit, p.activation[c.index] AS activation,
       reduce(sum = 0.0, value IN p.activation | sum + value) / size(p.activation) AS mean
  WHERE activation > mean
  RETURN null AS has, lit, activation, mean ORDER BY activation - mean DESC LIMIT toInteger($top)
}
WITH c, l, has, lit, activation, mean LIMIT 145
RETURN c.name AS class, l.layer AS layer, lit.channel AS channel, lit.x AS x, lit.y AS y, activation, mean,
       c, l, has, lit
ORDER BY l.index, channel, x, y
