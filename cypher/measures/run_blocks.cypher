// The blocks that have a score of their own in a finished run, in network order, and how many had one when it was stored.
// Parameters: $model, $key (of the run).
MATCH (run:MeasureRun {key: $key})-[:OF]->(:Model {key: $model})
RETURN run.blocks AS scored,
       COLLECT { MATCH (run)-[s:SCORED]->(b:Block) RETURN {block: b.name, theta: s.theta} ORDER BY b.index } AS blocks
