// What neo4j-admin could not import: lists without an element. No row where nothing is left to do.
MATCH (d:DataModel {name: 'cnngraph'})
WHERE d.emptyLists IS NOT NULL
RETURN d.emptyLists AS rows
