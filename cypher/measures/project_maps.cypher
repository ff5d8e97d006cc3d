// The channel network of one model as a GDS projection: feature maps and CONNECTS, a weight means strength and 0 is no
// connection. Every map is in it, also one that no connection reaches. Parameters: $model, $name (of the projection).
MATCH (source:FeatureMap {model: $model}) WHERE source.layer IS NOT NULL
OPTIONAL MATCH (source)-[connects:CONNECTS]->(target:FeatureMap) WHERE connects.weight <> 0
WITH gds.graph.project($name, source, target, {relationshipProperties: {weight: abs(connects.weight)}}) AS graph
RETURN graph.nodeCount AS nodes, graph.relationshipCount AS relationships
