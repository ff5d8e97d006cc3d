// The run of the CAR that stands on feature maps, with the layers that it measured, as the current one.
// Parameters: $model, $rows ({run: the end of its key, parameters, baseline, images, judgedOn, classImages, scored: [[layer, value]]}).
UNWIND $rows AS row
MATCH (m:Model {key: $model})
MERGE (run:MeasureRun {key: $model + ':' + row.run})
SET run.name = 'car', run.model = $model, run.measure = 'car', run.parameters = row.parameters, run.createdAt = datetime(),
    run.baseline = row.baseline, run.images = row.images, run.judgedOn = row.judgedOn, run.classImages = row.classImages
MERGE (run)-[:OF]->(m)
MERGE (m)-[:CURRENT {measure: 'car'}]->(run)
WITH run, row
UNWIND row.scored AS pair
MATCH (l:Layer {model: $model, layer: pair[0]})
MERGE (run)-[scored:SCORED]->(l)
SET scored.value = pair[1]
