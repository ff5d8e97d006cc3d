// Identity of the groups of feature maps that only go together.
CREATE CONSTRAINT cnngraph_coupling_group IF NOT EXISTS FOR (n:CouplingGroup) REQUIRE (n.model, n.index) IS UNIQUE;
CALL db.awaitIndexes(300);
