// The keys of everybody's models.
MATCH (m:Model)
WHERE m.key = m.owner + '/' + m.name
RETURN m.key AS key
ORDER BY key
