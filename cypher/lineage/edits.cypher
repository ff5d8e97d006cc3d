// What the prune that made a model changed, and why: JSON; no row of a model made before that was kept. Parameters: $key.
MATCH (:Model {key: $key})<-[made:PRODUCED]-(:PruningRun)
WHERE made.edits IS NOT NULL
RETURN made.edits AS edits
