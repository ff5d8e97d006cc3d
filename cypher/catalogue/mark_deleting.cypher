// From here on the model is incomplete; deleting it again, or writing it again, finishes the work. Parameters: $key.
MATCH (m:Model {key: $key})
SET m.status = 'deleting'
