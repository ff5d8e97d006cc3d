// One layer's neighbourhood
// The layers up to two FEEDS before and after $layer (null: the first conv). `steps` is negative before it.
:params {"model": "OWNER/NAME", "layer": null};
MATCH (l:Layer {model: $model})
WHERE l.layer = toString($layer) OR ($layer IS NULL AND l.layer IS NOT NULL AND l:Conv)
WITH l ORDER BY l.index LIMIT 1
CALL (l) {
  MATCH path = (l)-[:FEEDS*0..2]->(near:Layer)
  RETURN path, near, length(path) AS steps
  UNION
  MATCH path = (near:Layer)-[:FEEDS*1..2]->(l)
  RETURN path, near, -length(path) AS steps
}
RETURN steps, near.layer AS layer, near.kind AS kind, near.outChannels AS channels, near.outHeight AS height,
       near.outWidth AS width, path
ORDER BY steps, near.index LIMIT 95
