// Lists without an element, onto the nodes that had them. Parameters: $rows ([{label, match: {..}, set: {name: []}}]).
UNWIND $rows AS row
MATCH (n:$(row.label))
WHERE all(name IN keys(row.match) WHERE n[name] = row.match[name])
SET n += row.set
