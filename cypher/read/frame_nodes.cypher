// Layers, feature maps and positions with all that stands on them. Parameters: $key.
MATCH (l:Layer {model: $key}) WHERE l.layer IS NOT NULL
RETURN l.layer AS id, 'Layer' AS label, l {.*} AS properties
ORDER BY l.index
UNION ALL
MATCH (l:Layer {model: $key}) WHERE l.layer IS NOT NULL
WITH l ORDER BY l.index
MATCH (f:FeatureMap {model: $key, layer: l.layer})
WITH f, l ORDER BY l.index, f.channel
RETURN f.layer + '[' + f.channel + ']' AS id, 'FeatureMap' AS label, f {.*} AS properties
UNION ALL
MATCH (p:Position {model: $key})
WHERE p.number IS NOT NULL
WITH p ORDER BY p.number
RETURN p.layer + '(' + p.x + ',' + p.y + ')' AS id, 'Position' AS label, p {.*} AS properties
