// Which layers of one model survive as which of another that came of it, through any models between.
// Parameters: $parent, $child (keys).
MATCH (old:Layer {model: $parent})-[:SURVIVES_AS*1..20]->(new:Layer {model: $child})
WHERE old.layer IS NOT NULL
RETURN DISTINCT old.layer AS old, new.layer AS new, old.index AS place
ORDER BY place
