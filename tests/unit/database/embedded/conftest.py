"""A Maven repository on loopback with tiny jars in it, and a home whose Java is a double."""

from __future__ import annotations

import hashlib
import io
import sys
import threading
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cnngraph.database.embedded import answering, fetch, home, process, server
from cnngraph.database.embedded.home import Ports
from cnngraph.database.embedded.jars import GDS_GROUP, Jar
from cnngraph.settings import Settings


def jar_of(files: dict[str, str]) -> bytes:
    """A jar with these files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return buffer.getvalue()


@dataclass
class Repository:
    """What the loopback server serves, what it was asked for, and how it misbehaves.

    ``misbehave`` maps a file's name to the answers given before the right one: ``wrong``, ``truncated``, ``missing``.
    """

    address: str = ""
    content: dict[str, bytes] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    misbehave: dict[str, list[str]] = field(default_factory=dict)
    together: int = 0
    most_together: int = 0
    barrier: threading.Barrier | None = None

    def add(self, group: str, artifact: str, data: bytes) -> Jar:
        """Publish a jar, version 1; return its line of the list."""
        self.content[f"/{group.replace('.', '/')}/{artifact}/1/{artifact}-1.jar"] = data
        return Jar(group, artifact, "1", "", hashlib.sha256(data).hexdigest(), len(data))


@pytest.fixture
def repository() -> Iterator[Repository]:
    served = Repository()
    guard = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            name = self.path.rpartition("/")[2]
            with guard:
                served.asked[name] += 1
                served.together += 1
                served.most_together = max(served.most_together, served.together)
                faults = served.misbehave.get(name, [])
                fault = faults.pop(0) if faults else ""
            if served.barrier:
                served.barrier.wait(20)
            self.answer(served.content.get(self.path), fault)
            with guard:
                served.together -= 1

        def answer(self, data: bytes | None, fault: str) -> None:
            if data is None or fault == "missing":
                self.send_response(404)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if fault == "truncated":
                self.wfile.write(data[: len(data) // 2])
                self.close_connection = True
            else:
                self.wfile.write(b"\xff" * len(data) if fault == "wrong" else data)

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        listener.daemon_threads = True
        served.address = f"http://127.0.0.1:{listener.server_port}"
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield served
        listener.shutdown()
        thread.join()


class Notes:
    """A Progress that remembers."""

    def __init__(self) -> None:
        self.phases: list[str] = []
        self.notes: list[str] = []
        self.amount = 0.0

    def start(self, what: str, total: float | None = None) -> None:
        self.phases.append(what)

    def advance(self, amount: float = 1) -> None:
        self.amount += amount

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def few_jars(repository: Repository) -> tuple[Jar, ...]:
    """One jar of the server, two of GDS."""
    service = "META-INF/services/org.neo4j.Extension"
    return (
        repository.add("org.neo4j", "neo4j", jar_of({"a.class": "A"})),
        repository.add(GDS_GROUP, "proc", jar_of({"b.class": "B", service: "one\ntwo"})),
        repository.add(GDS_GROUP, "core", jar_of({"c.class": "C", service: "\n# more\ntwo\nthree\n"})),
    )


@pytest.fixture
def settings(
    tmp_path: Path, repository: Repository, few_jars: tuple[Jar, ...], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Settings]:
    """Settings of a fresh home whose server is the double; whatever it left running is stopped."""
    java = tmp_path / "java"
    java.write_text(f"#!{sys.executable}\n" + Path(__file__).with_name("java_double.py").read_text())
    java.chmod(0o755)
    usual = Ports(answering.free_ports(but=answering.USUAL).bolt, answering.free_ports(but=answering.USUAL).http)
    monkeypatch.setenv("CNNGRAPH_MAVEN", repository.address)
    monkeypatch.setattr(fetch, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(answering, "USUAL", usual)
    monkeypatch.setattr(home, "find_java", lambda _: java)
    monkeypatch.setattr(server, "locked_jars", lambda _: few_jars)
    folder = tmp_path / "a home"
    yield Settings(None, "neo4j", None, None, "tester", folder, tmp_path / "cache")
    for made in tmp_path.glob("*/server"):
        found = process.find(f"@{made / 'run' / 'server.args'}")
        if found:
            process.end(process.State(*found, 0, 0), f"@{made / 'run' / 'server.args'}", patience=0.2)
