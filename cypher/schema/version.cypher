// The version of our schema in this database; no row where there is none.
MATCH (d:DataModel {name: 'cnngraph'})
RETURN d.version AS version, d.program AS program
