// Keys of all decisions.
MATCH (run:PruningRun)
WHERE run.key IS NOT NULL
RETURN run.key AS key
ORDER BY key
