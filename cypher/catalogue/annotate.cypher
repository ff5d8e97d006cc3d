// What people say of a model: a note (null: none) and tags. Parameters: $key, $note, $tags.
MATCH (m:Model {key: $key})
SET m.note = $note, m.tags = CASE WHEN size($tags) > 0 THEN $tags END
