// Parameters: $key, $first, $last (numbers).
MATCH (p:Position {model: $key})
WHERE $first <= p.number <= $last
RETURN properties(p) AS row
ORDER BY p.number
