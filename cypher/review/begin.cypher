// The log of what people decide on the filters of a model, one of each writer; how many choices it has.
// Parameters: $model, $key, $owner, $sha256 (of the weights), $recipe (the digest of the structure).
MATCH (m:Model {key: $model})
MERGE (r:Review {key: $key})
ON CREATE SET r.createdAt = datetime(), r.name = 'review by ' + $owner, r.owner = $owner, r.model = $model,
              r.sha256 = $sha256, r.recipe = $recipe, r.choices = 0
MERGE (r)-[:OF]->(m)
SET r.choices = r.choices
RETURN r.choices AS choices
