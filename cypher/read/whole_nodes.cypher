// Nodes with all that stands on them. Parameters: $ids (element ids).
UNWIND $ids AS id
MATCH (n) WHERE elementId(n) = id
RETURN id, labels(n) AS labels, properties(n) AS properties
