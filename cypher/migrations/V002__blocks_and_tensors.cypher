// Identity of the blocks of a model, and of its weights where they are in the graph.
CREATE CONSTRAINT cnngraph_block IF NOT EXISTS FOR (n:Block) REQUIRE (n.model, n.name) IS UNIQUE;
CREATE CONSTRAINT cnngraph_tensor IF NOT EXISTS FOR (n:Tensor) REQUIRE (n.model, n.name) IS UNIQUE;
CALL db.awaitIndexes(300);
