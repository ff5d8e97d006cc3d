// What a database holds, in two numbers, and its models by their keys.
CALL () { MATCH (n) RETURN count(n) AS nodes }
CALL () { MATCH ()-[r]->() RETURN count(r) AS relationships }
CALL () { MATCH (m:Model) WHERE m.key IS NOT NULL WITH m.key AS key ORDER BY key RETURN collect(key) AS models }
RETURN nodes, relationships, models
