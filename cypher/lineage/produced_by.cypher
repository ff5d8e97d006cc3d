// The models that came of a decision. Parameters: $key (of the PruningRun).
MATCH (:PruningRun {key: $key})-[:PRODUCED]->(child:Model)
RETURN child.key AS child
ORDER BY child
