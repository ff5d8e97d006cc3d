// The coupling groups of a model by number, each with the layer and the channel of its feature maps. Parameters: $key.
MATCH (g:CouplingGroup {model: $key}) WHERE g.index IS NOT NULL
RETURN g {.*, members: COLLECT { MATCH (f:FeatureMap)-[:COUPLED_IN]->(g) RETURN [f.layer, f.channel] }} AS row
ORDER BY g.index
