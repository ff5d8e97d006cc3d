// Nothing of the import is left to do.
MATCH (d:DataModel {name: 'cnngraph'})
REMOVE d.emptyLists
