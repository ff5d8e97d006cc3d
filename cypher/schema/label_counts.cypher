// How many nodes bear each of $labels: asked before our first migration, when none of them can be ours.
UNWIND $labels AS label
CALL (label) {
  MATCH (n:$(label))
  RETURN count(n) AS nodes
}
WITH label, nodes WHERE nodes > 0
RETURN label, nodes
ORDER BY label
