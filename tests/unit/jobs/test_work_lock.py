"""Two identical jobs never share a work folder, and a dead one is no hindrance."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cnngraph.errors import ConflictError
from cnngraph.jobs.work_lock import locked

HOLDER = """
import sys
from pathlib import Path
from cnngraph.jobs.work_lock import locked
with locked(Path(sys.argv[1])):
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
    with pytest.raises(ConflictError, match=rf"running now \(process {other.pid} on "), locked(tmp_path / "job"):
        pass
    other.communicate()
    with locked(tmp_path / "job"):
        assert (tmp_path / "job.lock").is_file()
    assert list(tmp_path.iterdir()) == []


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    other.kill()
    other.communicate()
    assert (tmp_path / "job.lock").is_file()
    with locked(tmp_path / "job"):
        pass


def test_other_jobs_do_not_wait(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    with locked(tmp_path / "another job"):
        pass
    other.communicate()


def test_a_job_that_fails_lets_go(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked(tmp_path / "job"):
        _ = 1 / 0
    with locked(tmp_path / "job"):
        pass
