// What stands elsewhere on nodes that are here. Parameters: $model, $rows ({id: element id, labels: to set, gone: labels to
// take away, properties: a null takes one away}).
UNWIND $rows AS row
MATCH (n) WHERE elementId(n) = row.id
SET n += row.properties
SET n:$(row.labels)
REMOVE n:$(row.gone)
