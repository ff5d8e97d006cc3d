"""Ports of a server: which are free, what answers on them. Plain sockets: this runs before every command."""

from __future__ import annotations

import base64
import http.client
import json
import re
import socket
from contextlib import closing
from pathlib import Path

from cnngraph.database.embedded.home import Ports
from cnngraph.errors import DatabaseError

__all__ = ["bolt", "configured_ports", "free_ports", "login"]

USUAL = Ports(bolt=7687, http=7474)
_HOST = "127.0.0.1"
_HANDSHAKE = bytes.fromhex("6060b017 00040405 00000404 00000000 00000000")  # a magic number; Bolt 5.0 to 5.4, or 4.4


def bolt(port: int, patience: float = 2.0) -> bool:
    """True where a Bolt server answers our handshake with a version of the protocol."""
    try:
        with socket.create_connection((_HOST, port), timeout=patience) as connection:
            connection.sendall(_HANDSHAKE)
            answer = connection.recv(4)
    except OSError:
        return False
    return len(answer) == 4 and answer[3] in (4, 5)


def login(port: int, username: str, password: str, patience: float = 5.0) -> int | None:
    """The HTTP status that the Query API gives a trivial query: 202 where it ran, 401 where the password is wrong.

    ``None`` where nothing answers. It goes past any configured proxy.
    """
    token = base64.b64encode(f"{username}:{password}".encode()).decode()
    headers = {"Authorization": f"Basic {token}", "Content-Type": "application/json", "Accept": "application/json"}
    try:
        with closing(http.client.HTTPConnection(_HOST, port, timeout=patience)) as connection:
            connection.request("POST", "/db/neo4j/query/v2", json.dumps({"statement": "RETURN 1"}), headers)
            answer = connection.getresponse()
            answer.read()
            return answer.status
    except (OSError, http.client.HTTPException):
        return None


def free_ports(but: Ports | None = None) -> Ports:
    """The usual ports where they are free, others where not; none of ``but``."""
    avoid = {but.bolt, but.http} if but else set()
    first = _free(USUAL.bolt, avoid)
    return Ports(first, _free(USUAL.http, avoid | {first}))


def _free(usual: int, avoid: set[int]) -> int:
    for wanted in (usual, 0, 0, 0):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((_HOST, wanted))
            except OSError:
                continue
            port: int = probe.getsockname()[1]
        if port not in avoid:
            return port
    raise DatabaseError("There is no free port on loopback.", "Stop what listens there.")


def configured_ports(conf: Path) -> Ports | None:
    """The ports that a ``neo4j.conf`` of ours names; ``None`` where it is not there or damaged."""
    try:
        text = conf.read_text(encoding="utf-8")
    except OSError:
        return None
    found = dict(re.findall(r"^server\.(bolt|http)\.listen_address=127\.0\.0\.1:(\d+)$", text, flags=re.MULTILINE))
    return Ports(int(found["bolt"]), int(found["http"])) if len(found) == 2 else None
