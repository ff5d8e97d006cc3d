// How many classes a model's lists have. Parameters: $model.
MATCH (m:Model {key: $model})
RETURN COUNT { (m)-[:HAS_CLASS]->(:Class) } AS classes
