// map-pagerank, second step: the scores of the feature maps of conv layers onto them.
// Parameters: $rows ([{id, score}], by the ids that GDS streams).
UNWIND $rows AS row
WITH gds.util.asNode(row.id) AS f, row.score AS score
WHERE EXISTS { (f)<-[:HAS_FEATURE_MAP]-(:Layer:Conv) }
SET f.pagerank = score
