"""Writes a graph as GEXF, GraphML or node-link JSON, as networkx, Gephi, igraph and yEd read them.

Row by row, so that a million arcs need no tree in memory; nothing in the text depends on when or where it was written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, TextIO
from xml.sax.saxutils import escape, quoteattr

import pyarrow as pa

from cnngraph.network.interchange import Elements

__all__ = ["WRITERS", "write_gexf", "write_graphml", "write_json"]

_NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_HEADER = "<?xml version='1.0' encoding='utf-8'?>\n"


def write_gexf(graph: Elements, stream: TextIO) -> None:
    """GEXF 1.2; an edge's weight is its ``weight``, every other attribute an attvalue."""
    stream.write(_HEADER)
    stream.write('<gexf xmlns="http://www.gexf.net/1.2draft" version="1.2">')
    stream.write(f"<meta><description>{_content(_in_words(graph))}</description></meta>")
    stream.write(f'<graph defaultedgetype="{_direction(graph)}" mode="static" name="">')
    for of, table in (("node", graph.nodes), ("edge", graph.edges)):
        stream.write(f'<attributes mode="static" class="{of}">')
        for name, kind in _declared(table):
            if (of, name) == ("edge", "weight"):
                continue  # GEXF has a place of its own for it
            stream.write(f'<attribute id="{name}" title="{name}" type="{kind}" />')
        stream.write("</attributes>")
    stream.write("<nodes>\n")
    for identity, row in graph.node_rows():
        text = _quoted(identity)
        stream.write(f"<node id={text} label={text}>{_attvalues(row)}</node>\n")
    stream.write("</nodes><edges>\n")
    for number, (source, target, row) in enumerate(graph.edge_rows()):
        weight = f'weight="{row.pop("weight")}"'
        ends = f"source={_quoted(source)} target={_quoted(target)}"
        stream.write(f'<edge {ends} id="{number}" {weight}>{_attvalues(row)}</edge>\n')
    stream.write("</edges></graph></gexf>\n")


def _attvalues(row: dict[str, Any]) -> str:
    cells = "".join(f'<attvalue for="{name}" value={_quoted(value)} />' for name, value in row.items())
    return f"<attvalues>{cells}</attvalues>"


def write_graphml(graph: Elements, stream: TextIO) -> None:
    """GraphML; the edges of a multigraph carry their row number as ``id``."""
    stream.write(_HEADER)
    stream.write('<graphml xmlns="http://graphml.graphdrawing.org/xmlns">')
    for of, table in (("node", graph.nodes), ("edge", graph.edges)):
        for name, kind in _declared(table):
            stream.write(f'<key id="{of}-{name}" for="{of}" attr.name="{name}" attr.type="{kind}" />')
    stream.write('<key id="graph-weight" for="graph" attr.name="weight" attr.type="string" />')
    stream.write(f'<graph edgedefault="{_direction(graph)}">')
    stream.write(f'<data key="graph-weight">{_content(_in_words(graph))}</data>\n')
    for identity, row in graph.node_rows():
        stream.write(f"<node id={_quoted(identity)}>{_data('node', row)}</node>\n")
    for number, (source, target, row) in enumerate(graph.edge_rows()):
        name = f' id="{number}"' if graph.multigraph else ""
        ends = f"source={_quoted(source)} target={_quoted(target)}"
        stream.write(f"<edge {ends}{name}>{_data('edge', row)}</edge>\n")
    stream.write("</graph></graphml>\n")


def _data(of: str, row: dict[str, Any]) -> str:
    return "".join(f'<data key="{of}-{name}">{_content(value)}</data>' for name, value in row.items())


def write_json(graph: Elements, stream: TextIO) -> None:
    """Node-link JSON, one node or edge a line; ``networkx.node_link_graph`` reads it."""
    said = {"weight": graph.meanings()}
    head = json.dumps({"directed": graph.directed, "multigraph": graph.multigraph, "graph": said})
    stream.write(head[:-1] + ', "nodes": [')
    for number, (identity, row) in enumerate(graph.node_rows()):
        stream.write((",\n" if number else "\n") + json.dumps({"id": identity} | row))
    stream.write('], "edges": [')
    for number, (source, target, row) in enumerate(graph.edge_rows()):
        ends = {"source": source, "target": target} | ({"key": number} if graph.multigraph else {})
        stream.write((",\n" if number else "\n") + json.dumps(ends | row))
    stream.write("]}\n")


def _direction(graph: Elements) -> str:
    return "directed" if graph.directed else "undirected"


def _in_words(graph: Elements) -> str:
    """What the weights of the file mean, in one line."""
    return "weight: " + "; ".join(f"{kind}: {meaning}" for kind, meaning in graph.meanings().items())


def _quoted(value: object) -> str:
    return quoteattr(_writable(value))


def _content(value: object) -> str:
    return escape(_writable(value), {"\r": "&#13;"})


def _writable(value: object) -> str:
    """The text with what XML 1.0 cannot hold (control characters, half characters) written as ``\\x07``."""
    return _NO_XML.sub(lambda found: repr(found[0])[1:-1], str(value))


def _declared(table: pa.Table) -> list[tuple[str, str]]:
    """Names and types of the attributes that at least one element has."""
    fields = [field for field in table.schema if table[field.name].null_count < table.num_rows]
    return [(field.name, _type_name(field.type)) for field in fields]


def _type_name(kind: pa.DataType) -> str:
    if pa.types.is_integer(kind):
        return "long"
    return "double" if pa.types.is_floating(kind) else "string"


WRITERS: dict[str, Callable[[Elements, TextIO], None]] = {
    "gexf": write_gexf,
    "graphml": write_graphml,
    "json": write_json,
}
