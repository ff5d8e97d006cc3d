// The CAR of feature maps, with the classes that they serve most and least.
// Parameters: $model, $rows ({layer, channel, car, carByClass, serves: [[index of the class, reduction, rank]]}).
UNWIND $rows AS row
MATCH (f:FeatureMap {model: $model, layer: row.layer, channel: row.channel})
SET f.car = row.car, f.carByClass = row.carByClass
WITH f, row
UNWIND row.serves AS served
MATCH (c:Class {model: $model, index: served[0]})
MERGE (f)-[serves:SERVES]->(c)
SET serves.reduction = served[1], serves.rank = served[2]
