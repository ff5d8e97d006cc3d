// Parameters: $key.
MATCH (a:Layer {model: $key})-[feeds:FEEDS]->(b:Layer)
WHERE a.layer IS NOT NULL
RETURN a.layer AS source, b.layer AS target, feeds.port AS port, feeds.omitted AS omitted,
       feeds.omittedShare AS omitted_share
ORDER BY b.index, port, a.index
