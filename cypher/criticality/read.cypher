// All trials of how critical the blocks of a model are. Parameters: $model.
MATCH (c:Criticality {model: $model})-[:OF]->(place:Block|Layer)
RETURN c {.*, kind: CASE WHEN place:Block THEN place.kind END} AS row
ORDER BY place.index, c.block, c.createdAt, c.key
