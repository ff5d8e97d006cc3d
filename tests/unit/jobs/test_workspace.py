"""A stage is made once; two identical jobs never share a folder, and a dead one is no hindrance."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from cnngraph.errors import ConflictError, ModelError
from cnngraph.jobs.workspace import JobFolder, Workspace, hash_inputs

HOLDER = """
import sys
from pathlib import Path
from cnngraph.jobs.workspace import JobFolder
with JobFolder(Path(sys.argv[1])).locked():
    print("holding", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path: Path) -> subprocess.Popen[str]:
    """Another process that holds the folder until its stdin is closed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "job")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "holding\n"
    return process


def test_the_second_is_told_who_holds_it(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    with (
        pytest.raises(ConflictError, match=rf"running now \(process {other.pid} on "),
        JobFolder(tmp_path / "job").locked(),
    ):
        pass
    other.communicate()
    with JobFolder(tmp_path / "job").locked():
        assert (tmp_path / "job.lock").is_file()
    assert list(tmp_path.iterdir()) == []


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    other.kill()
    other.communicate()
    assert (tmp_path / "job.lock").is_file()
    with JobFolder(tmp_path / "job").locked():
        pass


def test_other_jobs_do_not_wait(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    with JobFolder(tmp_path / "another job").locked():
        pass
    other.communicate()


def test_a_job_that_fails_lets_go(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), JobFolder(tmp_path / "job").locked():
        _ = 1 / 0
    with JobFolder(tmp_path / "job").locked():
        pass


def test_the_same_inputs_name_the_same_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the rule of the builds before there was a workspace, so that what they left is found."""
    monkeypatch.setattr("cnngraph.jobs.workspace.__version__", "0.1.0")
    workspace, inputs = Workspace(tmp_path), {"weights": "ab", "steps": 2, "root": Path("/data")}
    content = json.dumps({"cnngraph": "0.1.0", "root": "/data", "steps": 2, "weights": "ab"}, sort_keys=True)
    digest = hashlib.sha256(content.encode()).hexdigest()[:16]
    assert workspace.job(inputs).path == tmp_path / digest
    assert workspace.file("drop", inputs) == tmp_path / f"drop-{digest}.json"
    assert hash_inputs(inputs | {"steps": 3}) != digest
    monkeypatch.setattr("cnngraph.jobs.workspace.__version__", "0.2.0")
    assert hash_inputs(inputs) != digest


def test_a_stage_is_done_when_its_file_is_there(tmp_path: Path) -> None:
    job = JobFolder(tmp_path / "job")
    stage = job.stage("retrain/done")
    assert not stage.is_done
    stage.write({"epoch_seconds": 1.5})
    assert job.stage("retrain/done").read() == {"epoch_seconds": 1.5}
    stage.path.write_text('{"epoch_')
    with pytest.raises(ModelError, match=r"done\.json is damaged"):
        stage.read()
    job.remove()
    assert not stage.is_done


def test_a_name_that_was_begun_is_known(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    mine, other = workspace.job({"job": 1}), workspace.job({"job": 2})
    assert workspace.names_begun() == set()
    mine.say_name("slim")
    other.say_name("slimmer")
    assert workspace.names_begun() == {"slim", "slimmer"}
    assert workspace.names_begun(mine) == {"slim"}
