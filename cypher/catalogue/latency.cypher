// The latest latency of a model: milliseconds of one forward pass, as an evaluation has measured it.
MATCH (e:Evaluation {split: 'test'})-[:OF]->(:Model {key: $key})
WHERE NOT coalesce(e.control, false) AND e.latencyMs IS NOT NULL
RETURN e.latencyMs AS latency_ms
ORDER BY e.createdAt DESC LIMIT 1
