"""A private Neo4j with Graph Data Science and Browser: fetched once, run as a separate process on loopback."""
