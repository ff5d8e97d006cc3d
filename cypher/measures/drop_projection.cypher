// Drop one projection; none of that name is no failure. Parameters: $name.
CALL gds.graph.drop($name, false) YIELD graphName
RETURN graphName AS name
