"""Work in copies of this process: what comes back, what a failure or a kill of one does, and one after the other."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from cnngraph.console import Progress, Quiet
from cnngraph.errors import CnngraphError, PlanError
from cnngraph.jobs.side_by_side import do_side_by_side, how_many_at_once
from cnngraph.training.execution import Execution


class Heard(Quiet):
    """Keeps what was noted."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def do(items: list[str], work: Callable[[str, Progress], object], heard: Progress, at_once: int = 2) -> list[str]:
    return list(do_side_by_side(items, work, at_once=at_once, words=lambda item: f"item {item}", progress=heard))


def wait_for(path: Path) -> None:
    ends = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < ends
        time.sleep(0.01)


def test_two_at_a_time(tmp_path: Path) -> None:
    heard = Heard()

    def work(item: str, progress: Progress) -> None:
        (tmp_path / item).write_text(str(os.getpid()))
        if item in "ab":  # neither ends before the other has begun
            wait_for(tmp_path / {"a": "b", "b": "a"}[item])
        torch.ones(64, 64) @ torch.ones(64, 64)
        progress.note(f"{torch.get_num_threads()} thread")

    assert sorted(do(["a", "b", "c"], work, heard)) == ["a", "b", "c"]
    assert sorted(heard.notes) == [f"item {name}: 1 thread" for name in "abc"]
    processes = {(tmp_path / name).read_text() for name in "abc"}
    assert len(processes) == 3
    assert str(os.getpid()) not in processes


def test_one_at_a_time_is_done_here() -> None:
    begun: list[str] = []

    def work(item: str, progress: Progress) -> None:
        begun.append(item)

    given = do_side_by_side(["a", "b"], work, at_once=1, words=str, progress=Quiet())
    assert next(given) == "a"
    assert begun == ["a"]
    assert list(given) == ["b"]


def test_an_error_is_raised_as_it_was_and_ends_the_others(tmp_path: Path) -> None:
    def work(item: str, progress: Progress) -> None:
        if item == "a":
            (tmp_path / "pid").write_text(str(os.getpid()))
            (tmp_path / "begun").touch()
            time.sleep(600)
        wait_for(tmp_path / "begun")
        raise PlanError("it cannot go", "Name another.")

    with pytest.raises(PlanError, match="it cannot go") as raised:
        do(["a", "b"], work, Quiet())
    assert raised.value.hint == "Name another."
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_fault_of_the_program_shows_its_place() -> None:
    def work(item: str, progress: Progress) -> None:
        raise ZeroDivisionError(item)

    with pytest.raises(RuntimeError, match=r"(?s)test_side_by_side.*ZeroDivisionError: a"):
        do(["a"], work, Quiet())


def test_one_that_is_ended_from_outside_is_said() -> None:
    def work(item: str, progress: Progress) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(CnngraphError, match=r"The process for item a was ended from outside \(exit code -9\)"):
        do(["a"], work, Quiet())


def test_copies_end_with_the_process_that_asked(tmp_path: Path) -> None:
    def outer(item: str, progress: Progress) -> None:
        def inner(name: str, progress: Progress) -> None:
            (tmp_path / f"{name}.part").write_text(str(os.getpid()))
            (tmp_path / f"{name}.part").rename(tmp_path / name)
            if name == "second":  # both are there: now the one that asked dies as by the kernel
                wait_for(tmp_path / "first")
                os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(600)

        do(["first", "second"], inner, Quiet())

    # A copy that is a daemon cannot have copies of its own; this one is no child of pytest's.
    pid = os.fork()
    if pid == 0:
        outer("", Quiet())
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL
    ends = time.monotonic() + 60
    for name in ("first", "second"):
        inner_pid = int((tmp_path / name).read_text())
        while Path(f"/proc/{inner_pid}/stat").exists() and state(inner_pid) != "Z":
            assert time.monotonic() < ends
            time.sleep(0.01)


def state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "Z"


def test_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    one = Execution("cpu", "fp32", channels_last=False, threads=1)
    assert how_many_at_once(one) == 4
    assert how_many_at_once(Execution("cpu", "fp32", channels_last=False, threads=4)) == 1
    assert how_many_at_once(Execution("cpu", "fp32", channels_last=False)) == 1
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    assert how_many_at_once(one) == 8
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert how_many_at_once(one) == 1
