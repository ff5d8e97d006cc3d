// Which saved model belongs to a model, by the sha256 of its content. Parameters: $key, $content.
MATCH (m:Model {key: $key})
WHERE m.savedSha256 IS NULL OR m.savedSha256 <> $content
SET m.savedSha256 = $content
REMOVE m.artifact
