#!/bin/sh
# graphdatascience 2.2: gds.graph.project.cypher(query, database="other") does not choose a database. Every keyword is a
# parameter of the query, so the projection is made of the database that the client was opened with, without a word; and it
# is sent to a member that reads, the algorithms to the one that writes: in a cluster these are two catalogues.
# Seen at the seam that the package itself offers, a QueryRunner, so that no server is needed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet graphdatascience==2.2 neo4j==6.4.1 pandas==3.1.1 "pyarrow<26"
cat > "$folder/see.py" <<'PYTHON'
import sys
from importlib.metadata import version

import neo4j
import pandas as pd
from graphdatascience import GraphDataScience
from graphdatascience.query_runner.neo4j_query_runner import Neo4jQueryRunner
from graphdatascience.versions import ServerVersion

print("python", sys.version.split()[0], *(f"{name} {version(name)}" for name in ("graphdatascience", "neo4j", "pandas")))
made = {"graphName": "g", "nodeCount": 1, "relationshipCount": 0, "projectMillis": 1, "configuration": {}, "query": ""}
seen = []


class Recording(Neo4jQueryRunner):
    """Notes what it is asked, and answers as a server would."""

    def server_version(self):
        return ServerVersion.from_string("2.13.9")

    def run_retryable_cypher(self, query, query_type, params=None, database=None, mode=None, **_):
        seen.append(("project", database, mode, params))
        return pd.DataFrame({"graph": [made]})

    def run_cypher(self, query, query_type, params=None, database=None, mode=None, **_):
        seen.append(("algorithm", database, mode, None))
        return pd.DataFrame({"nodeId": [0], "score": [0.15]})


with neo4j.GraphDatabase.driver("bolt://127.0.0.1:7687") as driver:
    gds = GraphDataScience(Recording(driver, "bolt", database="neo4j"), arrow=False, show_progress=False)
    query = "MATCH (n) RETURN gds.graph.project('g', n, null)"
    graph = gds.graph.project.cypher(query, database="other").graph
    gds.page_rank.stream(graph)
project, algorithm = seen
print("projection: database", project[1], "| parameters", project[3], "| mode", project[2])
print("algorithm:  database", algorithm[1], "| mode", algorithm[2], "(None: the member that writes)")
assert project[1] is None and project[3] == {"database": "other"}
assert project[2].value == "READ" and algorithm[2] is None
PYTHON
"$folder/venv/bin/python" "$folder/see.py"
