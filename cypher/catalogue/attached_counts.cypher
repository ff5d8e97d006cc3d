// What was found out about a model. Parameters: $key.
MATCH (m:Model {key: $key})
RETURN COUNT { (m)<-[:OF]-(:MeasureRun) } AS measure_runs,
       COUNT { (m)<-[:OF]-(:PruningRun) } AS pruning_runs,
       COUNT { (m)<-[:OF]-(:Evaluation) } AS evaluations,
       COUNT { (m)<-[:OF]-(:PruningRun)<-[:OF]-(:Step) } AS steps,
       COUNT { (m)<-[:OF]-(:Review)-[:JUDGED]->() } AS choices,
       COUNT { (m)<-[:OF]-(:Comparison) } AS comparisons,
       COUNT { (:Criticality {model: $key}) } AS criticalities
