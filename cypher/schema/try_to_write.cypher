// Whether one may write here: a node without a label, in a transaction that is taken back.
CREATE (n)
DELETE n
