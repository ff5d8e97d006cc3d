// Whole models that took these very weights into the structure of a parent. Parameters: $parent, $sha256 (of the weights).
MATCH (:Model {key: $parent})<-[:ADOPTED_FROM]-(child:Model {sha256: $sha256, status: 'complete'})
RETURN child.key AS model
ORDER BY model
