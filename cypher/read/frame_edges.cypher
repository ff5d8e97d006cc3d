// Every edge between the nodes of frame_nodes. Parameters: $key.
MATCH (a:Layer {model: $key})-[r:FEEDS]->(b:Layer)
WHERE a.layer IS NOT NULL
RETURN 'FEEDS' AS type, a.layer AS source, b.layer AS target, r {.*} AS properties
UNION ALL
MATCH (a:FeatureMap {model: $key})-[r:CONNECTS|RESEMBLES]->(b:FeatureMap)
WHERE a.layer IS NOT NULL
RETURN type(r) AS type, a.layer + '[' + a.channel + ']' AS source, b.layer + '[' + b.channel + ']' AS target,
       r {.*} AS properties
UNION ALL
MATCH (a:Position {model: $key})-[r:ARC]->(b:Position)
WHERE a.number IS NOT NULL
RETURN type(r) AS type, a.layer + '(' + a.x + ',' + a.y + ')' AS source, b.layer + '(' + b.x + ',' + b.y + ')' AS target,
       r {.*} AS properties
