// What changes where somebody measures, plans, prunes or reviews a model. Parameters: $key.
MATCH (m:Model {key: $key})
RETURN m.status AS status, m.fingerprint AS fingerprint, m.leaseToken AS lease,
       COLLECT { MATCH (m)-[c:CURRENT]->(run) RETURN c.measure + ' ' + run.key ORDER BY run.key } AS current,
       COLLECT { MATCH (m)<-[:OF]-(n) RETURN n.key + ' ' + toString(n.createdAt) + ' ' + coalesce(n.choices, 0) + ' '
                 + COUNT { (n)--() } ORDER BY n.key } AS attached,
       COUNT { (:Criticality {model: $key}) } AS criticalities
