// What a migration leaves behind. Parameters: $version, $program (the cnngraph that did it).
MERGE (d:DataModel {name: 'cnngraph'})
SET d.version = $version, d.program = $program, d.migratedAt = datetime()
