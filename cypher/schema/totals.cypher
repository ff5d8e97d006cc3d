// How much the database holds, everybody's, from the counts that the server keeps.
RETURN COUNT { MATCH (n) } AS nodes, COUNT { MATCH ()-[r]->() } AS relationships
