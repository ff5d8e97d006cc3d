"""Stands in for Java: behaves as the server's tool and as the server, in a few milliseconds.

Started as ``java @file``; ``JAVA_DOUBLE`` in the environment says how it misbehaves.
"""

from __future__ import annotations

import base64
import os
import shlex
import signal
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path


def main() -> None:
    arguments = shlex.split(Path(sys.argv[1].removeprefix("@")).read_text())
    if "set-initial-password" in arguments:
        home = Path(next(a for a in arguments if a.startswith("-Dbasedir=")).removeprefix("-Dbasedir="))
        (home / "data" / "dbms").mkdir(parents=True, exist_ok=True)
        (home / "data" / "dbms" / "auth.ini").write_text(arguments[-1])
        return
    if "database" in arguments:
        home = Path(next(a for a in arguments if a.startswith("-Dbasedir=")).removeprefix("-Dbasedir="))
        move(home / "data" / "databases" / "neo4j", "load" in arguments)
        return
    serve(Path(next(a for a in arguments if a.startswith("--home-dir=")).removeprefix("--home-dir=")))


def move(store: Path, load: bool) -> None:
    """Dump the one file of the double's store, or load it; what is said goes where nothing else does."""
    said = sys.stdout if load else sys.stderr
    if os.environ.get("JAVA_DOUBLE") == "dies":
        print("Files: 1/9, data: 12.5%", file=said)
        sys.exit("the disk is on fire")
    if load:
        store.mkdir(parents=True)
        (store / "store").write_bytes(sys.stdin.buffer.read())
    else:
        sys.stdout.buffer.write((store / "store").read_bytes())
    for done in ("50.0", "100.0"):
        print(f"Files: 1/1, data: {done}%", file=said)


def serve(home: Path) -> None:
    behaviour = os.environ.get("JAVA_DOUBLE", "")
    users = home / "data" / "databases" / "system"
    if behaviour == "dies":
        sys.exit("Exception: the disk is on fire")
    if behaviour == "dies-on-unfinished-data" and (users / "unfinished").exists():
        sys.exit("Exception: the store is half there")
    if behaviour == "finds-port-taken-once" and not (home / "tried").exists():
        (home / "tried").touch()
        sys.exit("java.net.BindException: Address already in use")
    if behaviour == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    if not users.exists():
        users.mkdir(parents=True)
        (users / "password").write_text((home / "data" / "dbms" / "auth.ini").read_text())
    if behaviour == "starts-late":
        time.sleep(1.5)
    if behaviour == "mute":
        time.sleep(600)
    lines = (home / "conf" / "neo4j.conf").read_text().splitlines()
    conf = dict(line.split("=", 1) for line in lines)
    bolt, http = (int(conf[f"server.{name}.listen_address"].rpartition(":")[2]) for name in ("bolt", "http"))
    threading.Thread(target=answer_bolt, args=(bolt,), daemon=True).start()
    expected = base64.b64encode(f"neo4j:{(users / 'password').read_text()}".encode()).decode()

    class Api(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(202 if self.headers["Authorization"] == f"Basic {expected}" else 401)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    print("Started.", flush=True)
    HTTPServer(("127.0.0.1", http), Api).serve_forever()


def answer_bolt(port: int) -> None:
    with socket.create_server(("127.0.0.1", port)) as listener:
        while True:
            connection, _ = listener.accept()
            with connection:
                connection.recv(20)
                connection.sendall(bytes([0, 0, 4, 5]))


if __name__ == "__main__":
    main()
