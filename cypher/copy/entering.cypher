// The relationships that end at some nodes, but those that never come from another model. Parameters: $ids (element ids).
UNWIND $ids AS id
MATCH (a)-[r:!ARC&!CONNECTS&!RESEMBLES&!HAS_FEATURE_MAP]->(b) WHERE elementId(b) = id
RETURN elementId(a) AS source, type(r) AS type, properties(r) AS properties, [id] AS targets
