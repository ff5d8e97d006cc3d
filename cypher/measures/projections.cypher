// The projections on the server whose names begin with $prefix.
CALL gds.graph.list() YIELD graphName
WHERE graphName STARTS WITH $prefix
RETURN graphName AS name
