// Nodes of a model go to its new key, and what bears its key in a key of its own; how many bear the new one then.
// Parameters: $key, $new, $ids (element ids).
UNWIND $ids AS id
MATCH (n) WHERE elementId(n) = id
WITH n, n:MeasureRun OR n:PruningRun OR n:Evaluation OR n:Review OR n:Criticality AS named, coalesce(n.model = $key, false) AS own
SET n.model = CASE WHEN own THEN $new ELSE n.model END,
    n.key = CASE WHEN named AND n.key STARTS WITH $key + '/' THEN $new + substring(n.key, size($key)) ELSE n.key END,
    n.parameters = CASE
      WHEN n:PruningRun THEN replace(n.parameters, '"model":"' + $key + '"', '"model":"' + $new + '"')
      ELSE n.parameters
    END
RETURN count(CASE WHEN own THEN 1 END) AS parts
