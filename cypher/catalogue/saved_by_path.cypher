// The models whose saved model is still named by a path of the machine that ingested them.
MATCH (m:Model)
WHERE m.key = m.owner + '/' + m.name AND m.artifact IS NOT NULL AND m.savedSha256 IS NULL
RETURN m.key AS key, m.artifact AS artifact
ORDER BY key
