// Nodes of a model as they are elsewhere. Parameters: $model, $rows ({labels, properties}).
UNWIND range(0, size($rows) - 1) AS place
WITH place, $rows[place] AS row
CREATE (n:$(row.labels))
SET n = row.properties
RETURN place, elementId(n) AS id
