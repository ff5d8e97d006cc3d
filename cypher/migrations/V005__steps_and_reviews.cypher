// Identity of the steps of a pruning that trains between its steps, and of what people decided on filters: a choice has an
// id that the page makes, so that sending it again stores nothing twice.
CREATE CONSTRAINT cnngraph_step IF NOT EXISTS FOR (n:Step) REQUIRE (n.run, n.child, n.number) IS UNIQUE;
CREATE CONSTRAINT cnngraph_review IF NOT EXISTS FOR (n:Review) REQUIRE n.key IS UNIQUE;
CREATE CONSTRAINT cnngraph_judged IF NOT EXISTS FOR ()-[r:JUDGED]-() REQUIRE (r.review, r.id) IS UNIQUE;
CALL db.awaitIndexes(300);
