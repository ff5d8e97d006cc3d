"""docs/review.md as it stands, with two people at the pages that it opens; and how such a page ends."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, Finished
from tests.pages import carry_out

pytestmark = pytest.mark.db
Run = Callable[..., Any]

# What each person decides, filter by filter, in the order in which the page shows them.
DECIDED = {"ann": {"features.0": "kdk", "features.3": "kddk"}, "ben": {"features.0": "kdd"}}
WORDS = {"k": "keep", "d": "drop"}


@dataclass
class Opened:
    """A page that the command has opened, as its browser sees it."""

    process: subprocess.Popen[str]
    port: int
    cookie: str

    def ask(self, method: str, path: str, told: Any = None) -> Any:
        """The JSON of an answer; asserts that it is a good one."""
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"cookie": self.cookie, "origin": f"http://127.0.0.1:{self.port}"}
        line.request(method, path, json.dumps(told), headers | {"content-type": "application/json"})
        answer = line.getresponse()
        content = answer.read()
        line.close()
        assert answer.status == 200, content
        return json.loads(content)

    def end(self) -> tuple[int, str]:
        """Ctrl-C; exit code and the rest of what was said."""
        self.process.send_signal(signal.SIGINT)
        assert self.process.stderr is not None
        said = self.process.stderr.read()
        return self.process.wait(60), said


@contextmanager
def opened(*arguments: object) -> Iterator[Opened]:
    """``cnngraph review ...`` in a process of its own, with the cookie that its address gives."""
    code = "from cnngraph.cli.main import main; main()"
    line = [sys.executable, "-c", code, *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(line, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment)
    try:
        assert process.stderr is not None
        said = ""
        for text in process.stderr:
            said += text
            found = re.search(r"http://127\.0\.0\.1:(\d+)(/\?token=\S+)", text)
            if found:
                break
        else:
            pytest.fail(said)
        port = int(found[1])
        line = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        line.request("GET", found[2])
        answer = line.getresponse()
        answer.read()
        line.close()
        assert answer.status == 200
        yield Opened(process, port, answer.headers["set-cookie"].split(";")[0])
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


@pytest.fixture(scope="module")
def page(command: Run, server: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the page was carried out; pages are opened, used and ended with Ctrl-C."""

    def run(*arguments: str, cwd: Path) -> Finished:
        if arguments[0] != "review" or not {"--status", "--export", "--replay"}.isdisjoint(arguments):
            return command(*arguments, cwd=cwd)
        by = arguments[arguments.index("--by") + 1]
        with opened(*arguments, "--no-images") as site:
            start = site.ask("GET", "/api/start")
            layers = {layer["layer"]: layer["filters"] for layer in start["layers"]}
            assert len(start["order"]) == sum(layers.values())
            choices = [
                {"id": f"{by}-{layer}-{channel}", "layer": layer, "channel": channel, "decision": WORDS[key]}
                for layer, keys in DECIDED[by].items()
                for channel, key in enumerate(keys)
            ]
            for _ in range(2):  # a page whose answer was lost sends them again
                assert len(site.ask("POST", "/api/choices", {"choices": choices})["stored"]) == len(choices)
            code, said = site.end()
        assert (code, "What was decided is stored" in said) == (130, True), said
        assert "Traceback" not in said
        return Finished(0, "", said)

    folder = tmp_path_factory.mktemp("review")
    carry_out("docs/review.md", folder, run)
    return folder


def test_what_all_agree_on_is_planned_and_what_any_wants_is_pruned(command: Run, page: Path) -> None:
    plan = command("plan", "by-eye", "--method", "review", "--json").json
    assert {one["layer"]: one["filters"] for one in plan["removes"]} == {"features.0": [1], "features.3": [1, 2]}
    (parent,) = command("lineage", "by-eye-slim", "--json").json["ancestors"]
    assert (parent["method"], parent["filters"]) == ("review", {"features.0": [1, 2], "features.3": [1, 2]})
    assert parent["model"] == "tester/by-eye"


def test_the_log_says_who_decided_what(command: Run, page: Path, database: Any) -> None:
    log = json.loads((page / "review.json").read_text(encoding="utf-8"))
    assert len(log["choices"]) == 10
    assert {one["by"]: one["blind"] for one in log["choices"]} == {"ann": False, "ben": True}
    status = command("review", "by-eye", "--status", "--json").json
    assert (status["choices"], status["judged"]) == (10, 7)
    assert [one["channel"] for one in status["disagreements"]] == [2]
    (row,) = database.read(
        "MATCH (:Model {key: 'tester/by-eye-slim'})<-[:PRODUCED]-(:PruningRun)-[r:REMOVES]->"
        "(:FeatureMap {layer: 'features.0', channel: 2}) RETURN r.reason AS reason"
    )
    assert "ann drops 1" in row["reason"] and "ben drops 1, 2" in row["reason"]


def test_a_port_that_is_taken(command: Run, page: Path) -> None:
    with opened("review", "by-eye", "--no-images", "--by", "cleo", "--layer", "features.0") as site:
        refused = command("review", "by-eye", "--no-images", "--port", site.port)
        assert (refused.code, f"Port {site.port} of this machine cannot be had" in refused.err) == (1, True)
        with opened("review", "by-eye", "--no-images") as other:  # without --port a free one is found
            assert other.port != site.port
            assert len(other.ask("GET", "/api/start")["choices"]) == 0  # the owner judged nothing yet
        bad = http.client.HTTPConnection("127.0.0.1", site.port, timeout=60)
        bad.request("GET", "/api/start", headers={"host": f"evil.example:{site.port}", "cookie": site.cookie})
        assert bad.getresponse().status == 421
        bad.close()


@pytest.mark.parametrize(
    ("told", "status"),
    [
        ({"choices": [{"id": "1", "layer": "features.0", "channel": 99, "decision": "drop"}]}, 404),
        ({"choices": [{"id": "1", "layer": "features.0", "channel": 0, "decision": "perhaps"}]}, 422),
        ({"choices": [{"id": "\n", "layer": "features.0", "channel": 0, "decision": "drop"}]}, 422),
        ({"choices": [{"id": "1", "layer": "features.0", "channel": 0, "decision": "drop", "by": "ann"}]}, 422),
        ({"choices": [{"id": "1", "layer": "features.0", "channel": 0, "decision": "undo", "undoes": "x"}]}, 404),
        ([], 422),
    ],
)
def test_what_is_no_choice_is_not_stored(wrong: Opened, command: Run, told: Any, status: int) -> None:
    line = http.client.HTTPConnection("127.0.0.1", wrong.port, timeout=60)
    headers = {"cookie": wrong.cookie, "origin": f"http://127.0.0.1:{wrong.port}", "content-type": "application/json"}
    line.request("POST", "/api/choices", json.dumps(told), headers)
    answer = line.getresponse()
    assert answer.status == status, answer.read()
    assert json.loads(answer.read())["error"]
    line.close()
    assert wrong.ask("GET", "/api/start")["choices"] == []


@pytest.fixture(scope="module")
def wrong(page: Path) -> Iterator[Opened]:
    with opened("review", "by-eye", "--no-images", "--by", "wrong") as site:
        yield site
