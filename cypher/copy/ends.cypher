// Which models some nodes belong to, and what tells them apart there. No row for a node that is not ours.
// Parameters: $ids (element ids), $keys (by label the properties that tell its nodes apart), $order (the labels of $keys).
UNWIND $ids AS id
MATCH (n) WHERE elementId(n) = id
WITH n, id, head([label IN $order WHERE label IN labels(n)]) AS label
WHERE label IS NOT NULL
RETURN id, label, [name IN $keys[label] | n[name]] AS identity,
       CASE WHEN n:Model THEN [n.key]
            ELSE COLLECT { MATCH (n)-[:OF]->(m:Model) RETURN m.key
                           UNION MATCH (n)-[:OF]->(:PruningRun)-[:OF]->(m:Model) RETURN m.key }
                 + CASE WHEN n.model IS NULL THEN [] ELSE [n.model] END
       END AS models
