#!/bin/sh
# The same graph, one edge of it without a weight: networkx counts 1, igraph reads NaN and its PageRank refuses; infomap
# leaves out nodes that only links of weight 0 reach, and refuses negative ones. Needs python3 and pip; installs into a
# temporary folder. Exits non-zero if what is seen changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "networkx==3.6.1" "numpy==2.4.6" "scipy==1.17.1" "igraph==1.0.0" "infomap==2.16.0"
"$folder/venv/bin/python" - "$folder/graph.graphml" <<'PYTHON'
import math
import sys
from importlib.metadata import version

import igraph
import networkx as nx
from infomap import Infomap

print(", ".join(f"{name} {version(name)}" for name in ("networkx", "igraph", "infomap")))
graph = nx.DiGraph()
graph.add_edge("a", "b", weight=0.5)
graph.add_edge("a", "c")
graph.add_edge("b", "a", weight=0.5)
graph.add_edge("c", "a", weight=0.5)
nx.write_graphml(graph, sys.argv[1])

read = nx.read_graphml(sys.argv[1])
ranks = nx.pagerank(read)
explicit = graph.copy()
explicit["a"]["c"]["weight"] = 1.0
as_one = max(abs(ranks[node] - rank) for node, rank in nx.pagerank(explicit).items()) < 1e-9
print("networkx takes the missing weight for 1:", as_one)

other = igraph.Graph.Read_GraphML(sys.argv[1])
missing = sum(math.isnan(weight) for weight in other.es["weight"])
print("igraph reads NaN for", missing, "edge")
try:
    said = f"gives {other.pagerank(weights='weight')}"
except igraph.InternalError as error:
    said = "refuses: " + str(error).split("Error at")[-1].split(":", 2)[-1].strip()[:70]
print("igraph's PageRank", said)


def nodes(weight):
    found = Infomap(silent=True, directed=True)
    for source, target, strength in ((1, 2, 1.0), (2, 1, 1.0), (2, 3, weight)):
        found.add_link(source, target, strength)
    found.run()
    return found.num_nodes


kept = nodes(1.0), nodes(0.0)
print("infomap: nodes with a link of weight 1 to the third, of weight 0:", kept)
try:
    nodes(-1.0)
    refused = False
except Exception as error:
    refused = True
    print("infomap refuses a negative weight:", str(error).splitlines()[0][:80])
good = as_one and missing == 1 and said.startswith("refuses") and kept == (3, 2) and refused
raise SystemExit(0 if good else "what was seen has changed")
PYTHON
