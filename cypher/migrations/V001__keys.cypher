// Identity of every node by our own keys, and the way from a layer to its maps and positions.
// Constraints exist before any load: they are what makes a repeated write find what is there.
CREATE CONSTRAINT cnngraph_model IF NOT EXISTS FOR (n:Model) REQUIRE n.key IS UNIQUE;
CREATE CONSTRAINT cnngraph_layer IF NOT EXISTS FOR (n:Layer) REQUIRE (n.model, n.layer) IS UNIQUE;
CREATE CONSTRAINT cnngraph_feature_map IF NOT EXISTS FOR (n:FeatureMap) REQUIRE (n.model, n.layer, n.channel) IS UNIQUE;
CREATE CONSTRAINT cnngraph_position IF NOT EXISTS FOR (n:Position) REQUIRE (n.model, n.number) IS UNIQUE;
CREATE CONSTRAINT cnngraph_class IF NOT EXISTS FOR (n:Class) REQUIRE (n.model, n.index) IS UNIQUE;
CREATE CONSTRAINT cnngraph_measure_run IF NOT EXISTS FOR (n:MeasureRun) REQUIRE n.key IS UNIQUE;
CREATE CONSTRAINT cnngraph_pruning_run IF NOT EXISTS FOR (n:PruningRun) REQUIRE n.key IS UNIQUE;
CREATE CONSTRAINT cnngraph_evaluation IF NOT EXISTS FOR (n:Evaluation) REQUIRE n.key IS UNIQUE;
CREATE INDEX cnngraph_feature_map_layer IF NOT EXISTS FOR (n:FeatureMap) ON (n.model, n.layer);
CREATE INDEX cnngraph_position_layer IF NOT EXISTS FOR (n:Position) ON (n.model, n.layer);
CALL db.awaitIndexes(300);
