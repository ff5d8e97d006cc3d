// Version of Graph Data Science; an unknown function where the server has none.
RETURN gds.version() AS version
