// The arcs that leave some positions, a row a source. Parameters: $key, $first, $last (numbers).
MATCH (source:Position {model: $key})-[:ARC]->(target:Position)
WHERE $first <= source.number <= $last
RETURN source.number AS source, collect(target.number) AS target
