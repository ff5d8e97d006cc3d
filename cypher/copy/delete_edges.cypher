// Relationships that are otherwise where a model comes from, one for each row.
// Parameters: $model, $rows ([source, type, properties, [target]]; the ends as element ids).
UNWIND $rows AS row
MATCH (a)-[r]->(b)
WHERE elementId(a) = row[0] AND type(r) = row[1] AND elementId(b) = row[3][0]
  AND size(keys(r)) = size(keys(row[2])) AND all(name IN keys(r) WHERE r[name] = row[2][name] OR (r[name] <> r[name] AND row[2][name] <> row[2][name]))
WITH row, head(collect(r)) AS r
DELETE r
