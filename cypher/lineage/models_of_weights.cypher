// Everybody's whole models that have these very weights. Parameters: $sha256.
MATCH (m:Model {sha256: $sha256, status: 'complete'})
WHERE m.key = m.owner + '/' + m.name
RETURN m.key AS model
ORDER BY model
