// Parameters: $model, $rows ({source, target, port, omitted, omittedShare}). Two edges of one pair differ in their port.
UNWIND $rows AS row
MATCH (source:Layer {model: $model, layer: row.source})
MATCH (target:Layer {model: $model, layer: row.target})
MERGE (source)-[feeds:FEEDS {port: row.port}]->(target)
ON CREATE SET feeds.omitted = row.omitted, feeds.omittedShare = row.omittedShare
