"""Ctrl-C anywhere: exit code 130, no traceback, and the same command goes on from there."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.db

Run = Callable[..., Any]


def _struck(
    *arguments: object, at: str, strike: Callable[[subprocess.Popen[str]], None], cwd: Path, home: Path | None = None
) -> tuple[int, str]:
    """Run the command, ``strike`` when a line with ``at`` appears on stderr, and wait; exit code and all of stderr."""
    executable = shutil.which("cnngraph", path=str(Path(sys.executable).parent))
    assert executable
    said = []
    with subprocess.Popen(
        [executable, *map(str, arguments)],
        cwd=cwd,
        env=os.environ | {"PYTHONUNBUFFERED": "1"} | ({"CNNGRAPH_HOME": str(home)} if home else {}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            said.append(line)
            if at in line:
                strike(process)
                break
        said += process.stderr.readlines()
    assert "Traceback" not in "".join(said)
    return process.returncode, "".join(said)


def _interrupted(*arguments: object, at: str, cwd: Path) -> None:
    """Ctrl-C when a line with ``at`` appears."""
    code, said = _struck(*arguments, at=at, strike=lambda process: process.send_signal(signal.SIGINT), cwd=cwd)
    assert code == 130, said


@pytest.fixture(scope="module")
def saved(command: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training that was interrupted after its first epoch and went on."""
    folder = tmp_path_factory.mktemp("interrupted")
    out = folder / "model"
    train = ("train", "cnngraph:vgg11", "--width", 0.125, "--data", "digits", "--epochs", 3, "--out", out)
    _interrupted(*train, at="Epoch 1/3", cwd=folder)
    assert not out.exists()
    done = command(*train)
    assert done.code == 0, done.err
    assert "Going on after epoch" in done.err
    return out


def test_an_interrupted_ingest_goes_on(command: Run, server: Any, saved: Path, tmp_path: Path) -> None:
    ingest = ("ingest", saved, "--data", "digits", "--name", "interrupted")
    _interrupted(*ingest, at="Writing arcs", cwd=tmp_path)
    assert command("plan", "interrupted").code == 1
    done = command(*ingest, "--json")
    assert done.code == 0, done.err
    assert done.json["action"] == "resume"
    assert command("show", "interrupted", "--json").json["status"] == "complete"


def test_an_interrupted_prune_goes_on(command: Run, server: Any, saved: Path, tmp_path: Path) -> None:
    assert command("ingest", saved, "--data", "digits", "--name", "interrupted-2", "--view", "channels").code == 0
    prune = ("prune", "interrupted-2", "--remove-layer", "features.3", "--epochs", 2)
    _interrupted(*prune, at="Epoch 1/2", cwd=tmp_path)
    done = command(*prune, "--json")
    assert done.code == 0, done.err
    assert "An earlier run got as far as a verified net" in done.err
    assert done.json["new_model"] == "tester/interrupted-2-pruned"
    assert command("show", "interrupted-2-pruned", "--json").json["status"] == "complete"


@pytest.mark.slow  # starts a server of its own twice
def test_a_server_that_dies_half_way(command: Run, saved: Path, tmp_path: Path) -> None:
    if os.environ.get("NEO4J_TEST_URI"):
        pytest.skip("a given server is not to be killed")
    own = {"CNNGRAPH_HOME": str(tmp_path / "home")}
    pid = command("db", "up", "--json", env=own).json["pid"]
    try:
        assert command("doctor", env=own).code == 0  # a schema that is still to be made is no fault
        ingest = ("ingest", saved, "--data", "digits", "--name", "cut-off")
        code, said = _struck(
            *ingest,
            at="Writing arcs",
            strike=lambda _: os.kill(pid, signal.SIGKILL),
            cwd=tmp_path,
            home=tmp_path / "home",
        )
        assert code == 4, said
        assert "Run the same command again" in said
        done = command(*ingest, "--json", env=own)
        assert done.code == 0, done.err
        assert done.json["action"] == "resume"
    finally:
        command("db", "down", env=own)
