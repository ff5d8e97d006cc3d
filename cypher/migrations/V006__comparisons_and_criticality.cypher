// Identity of what two nets were found to have in common, layer by layer, and of how much a net loses where a block or a layer
// is taken out of it or replaced.
CREATE CONSTRAINT cnngraph_comparison IF NOT EXISTS FOR (n:Comparison) REQUIRE n.key IS UNIQUE;
CREATE CONSTRAINT cnngraph_criticality IF NOT EXISTS FOR (n:Criticality) REQUIRE n.key IS UNIQUE;
CREATE INDEX cnngraph_criticality_model IF NOT EXISTS FOR (n:Criticality) ON (n.model);
CALL db.awaitIndexes(300);
