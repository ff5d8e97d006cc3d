// Parameters: $model, $rows (the properties of one group each, with `members`, [layer, channel] of each of its feature maps).
UNWIND $rows AS row
MERGE (g:CouplingGroup {model: $model, index: row.index})
ON CREATE SET g = row {.*, members: null}
WITH g, row
UNWIND row.members AS member
MATCH (f:FeatureMap {model: $model, layer: member[0], channel: member[1]})
MERGE (f)-[:COUPLED_IN]->(g)
