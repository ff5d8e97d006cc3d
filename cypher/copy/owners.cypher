// Whose models are here.
MATCH (m:Model)
WHERE m.key = m.owner + '/' + m.name
RETURN DISTINCT m.owner AS owner
ORDER BY owner
