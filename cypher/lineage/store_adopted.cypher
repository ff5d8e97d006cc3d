// Weights that were trained elsewhere, in the structure of a model. Parameters: $child, $parent, $file (its name), $sha256.
MATCH (child:Model {key: $child})
MATCH (parent:Model {key: $parent})
MERGE (child)-[adopted:ADOPTED_FROM]->(parent)
ON CREATE SET adopted.createdAt = datetime()
SET adopted.file = $file, adopted.sha256 = $sha256
RETURN child.key AS child
