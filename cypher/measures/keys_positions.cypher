// What a person knows positions by, for the ids that GDS gives. Parameters: $ids.
UNWIND $ids AS id
WITH id, gds.util.asNode(id) AS p
RETURN id, p.number AS number, p.layer AS layer, p.x AS x, p.y AS y
