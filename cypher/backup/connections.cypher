// Connections by Bolt, ours among them: who would notice that the server stops.
CALL dbms.listConnections() YIELD connectionId, connector, userAgent
WHERE connector <> 'bolt-local'
RETURN connectionId, userAgent
