// The blocks of a model. Parameters: $model.
MATCH (b:Block {model: $model}) WHERE b.name IS NOT NULL
RETURN b.name AS block
ORDER BY b.index
