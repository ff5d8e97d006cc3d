"""What the page's server answers, and with which status: the page closes at what it did wrong, and tries again else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import pytest

from cnngraph.database.reviews import Binding
from cnngraph.errors import ConflictError, DatabaseError, NotFoundError
from cnngraph.review.app import make_app
from cnngraph.review.judging import Judging
from cnngraph.review.lenses import Evidence, Lenses

FACTS: dict[str, Any] = {"classes": ["a"], "input_shape": [3, 8, 8], "correlated": False}


@dataclass
class Graph:
    """A database that answers every query with the same rows, or fails with the same error."""

    rows: Sequence[dict[str, Any]] = ()
    error: Exception | None = None

    owner = "tester"
    uri = "bolt://127.0.0.1:1"

    def read(self, _: str, **__: Any) -> list[dict[str, Any]]:
        if self.error is not None:
            raise self.error
        return list(self.rows)

    def transact(self, _: Any) -> Any:
        return self.read("")


def judging(graph: Graph, lenses: Lenses | None = None, sha256: str = "ab" * 32) -> Judging:
    binding = Binding("tester/net", sha256, "0123")
    return Judging(graph, binding, {"conv1": 3}, "ann", lenses or Lenses("net", FACTS))  # type: ignore[arg-type]


def ask(judged: Judging, address: str, told: Any = None) -> tuple[int, dict[str, str], bytes]:
    """(status, headers, content) of the answer; with ``told`` it is sent."""
    parts, body, sent = urlsplit(address), json.dumps(told).encode(), []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    scope = {
        "type": "http",
        "method": "GET" if told is None else "POST",
        "path": parts.path,
        "query_string": parts.query.encode(),
        "headers": [(b"content-type", b"application/json")],
    }
    with suppress(ValueError, KeyError):  # raised once more when it was answered, for the server's log
        asyncio.run(make_app(judged)(scope, receive, send))
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, b"".join(one.get("body", b"") for one in sent[1:])


CHOICE = {"id": "1", "layer": "conv1", "channel": 0, "decision": "drop"}


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (DatabaseError("The server is gone."), 503),
        (ConflictError("Another net."), 409),
        (NotFoundError("There is no filter 7."), 404),
        (ValueError("Out of range float values are not JSON compliant"), 500),
        (KeyError("at"), 500),
    ],
)
def test_what_failed_here_is_not_the_fault_of_a_choice(error: Exception, status: int) -> None:
    found, _, content = ask(judging(Graph(error=error)), "/api/choices", {"choices": [CHOICE]})
    assert (found, list(json.loads(content))) == (status, ["error", "hint"])


def test_a_server_that_came_back_at_another_address_is_found() -> None:
    judged = judging(Graph(error=DatabaseError("The server is gone.")))
    row = {"channel": 0, "magnitude": 1.0, "apoz": None, "car": None, "twins": []}
    known = {"bolt://127.0.0.1:1": Graph([row])}
    judged.reopen = known.get  # type: ignore[assignment]
    assert ask(judged, "/api/grid?layer=conv1")[0] == 503
    assert ask(judged, "/api/grid?layer=conv1")[0] == 200


@pytest.mark.parametrize(
    "wrong",
    [{"decision": "perhaps"}, {"id": "\n"}, {"decision": "undo"}, {"by": "ben"}, {"channel": -1}, {"lens": "nose"}],
)
def test_what_is_no_choice_is_said_and_never_sent_again(wrong: dict[str, Any]) -> None:
    status, _, content = ask(judging(Graph()), "/api/choices", {"choices": [CHOICE | wrong]})
    assert status == 422
    assert json.loads(content)["error"].startswith("This is no choice")


def test_a_layer_with_numbers_that_json_does_not_have_is_shown() -> None:
    row = {"channel": 0, "magnitude": float("inf"), "apoz": None, "car": float("nan"), "twins": [2]}
    status, _, content = ask(judging(Graph([row])), "/api/grid?layer=conv1")
    assert status == 200
    (shown,) = json.loads(content)["filters"]
    assert shown == {"channel": 0, "magnitude": None, "apoz": None, "car": None, "group": 0}


@dataclass
class Seen:
    """Evidence of a net of one layer; its pictures say what they are of."""

    folder: Path

    layers = ("conv1",)
    images = 10

    def image(self, index: int) -> bytes:
        return f"image {index} of {self.folder.name}".encode()

    def kernel_picture(self, layer: str, channel: int) -> bytes:
        return f"{layer} {channel} of {self.folder.name}".encode()


def test_a_picture_that_the_browser_keeps_is_never_one_of_another_net() -> None:
    """Two pages, one after the other, on the same port: other weights, then other images."""
    pages = [
        judging(Graph(), Lenses("net", FACTS, evidence=cast(Evidence, Seen(Path("evidence-" + images)))), sha256)
        for sha256, images in (("ab" * 32, "a"), ("cd" * 32, "a"), ("cd" * 32, "b"))
    ]
    assert len({one.pictures for one in pages}) == 3
    for one in pages:
        evidence = cast(Seen, one.lenses.evidence)
        for rest in ("image?index=5", "weights?layer=conv1&channel=2", "face?layer=conv1&channel=2"):
            status, headers, content = ask(one, f"/picture/{one.pictures}/{rest}")
            assert (status, headers["cache-control"]) == (200, "private, max-age=3600")
            assert content.endswith(evidence.folder.name.encode())
            for other in pages:
                if other is not one:
                    status, headers, _ = ask(one, f"/picture/{other.pictures}/{rest}")
                    assert (status, "cache-control" in headers) == (404, False)
            assert ask(one, f"/picture/{rest}")[0] == 404
