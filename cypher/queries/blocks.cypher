// Blocks of a model
// Its residual, concat and gate blocks, chains and stages, from block number $from on (300 nodes at most: the next page begins at the
// number after the last), with the layers that each CONTAINS. `parent` is the block around a nested one.
:params {"model": "OWNER/NAME", "from": 0};
MATCH (b:Block {model: $model})
WHERE b.name IS NOT NULL AND b.index >= toInteger($from)
WITH b, COUNT { (b)-[:CONTAINS]->() } AS size ORDER BY b.index
WITH collect({block: b, size: size}) AS blocks
UNWIND range(0, size(blocks) - 1) AS place
WITH blocks[place].block AS b, reduce(nodes = 1, before IN blocks[..place] | nodes + before.size + 1) AS drawn
WHERE drawn < 300
MATCH (b)-[contains:CONTAINS]->(l:Layer)
WITH b, drawn, contains, l ORDER BY l.index
WITH b, drawn, collect(contains) AS contained, collect(l) AS layers
RETURN b.index AS number, b.name AS block, b.kind AS kind, b.parent AS parent, b.entry AS entry, b.exit AS exit,
       size(layers) AS size, size([l IN layers WHERE l.kind = 'Conv']) AS convs,
       reduce(all = 0, l IN layers | all + l.parameters) AS parameters, reduce(all = 0, l IN layers | all + l.macs) AS macs,
       b, layers[..300 - drawn] AS layers, contained[..300 - drawn] AS contained
ORDER BY number
