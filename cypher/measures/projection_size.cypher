// How many nodes and relationships a projection has. Parameters: $name.
CALL gds.graph.list($name) YIELD nodeCount, relationshipCount
RETURN nodeCount AS nodes, relationshipCount AS relationships
