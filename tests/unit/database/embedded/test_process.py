"""Telling processes apart: a number alone is not enough."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace

import psutil
import pytest

from cnngraph.database.embedded.process import State, alive, end, find


@pytest.fixture
def sleeper() -> Iterator[State]:
    with subprocess.Popen(["sleep", "61.25"]) as child:
        yield State(child.pid, psutil.Process(child.pid).create_time(), 0, 0)
        child.kill()


def test_number_start_and_argument_must_all_fit(sleeper: State) -> None:
    assert alive(sleeper, "61.25")
    assert not alive(sleeper, "61.2")
    assert not alive(replace(sleeper, started=sleeper.started - 60), "61.25")
    assert not alive(replace(sleeper, pid=2**22 + 1), "61.25")


def test_a_process_that_does_not_fit_is_not_ended(sleeper: State) -> None:
    end(sleeper, "another argument", patience=0.1)
    end(replace(sleeper, started=0.0), "61.25", patience=0.1)
    assert alive(sleeper, "61.25")


def test_a_forgotten_process_is_found_by_its_argument(sleeper: State) -> None:
    assert find("61.25") == (sleeper.pid, sleeper.started)
    assert find("61.250") is None


def test_a_dead_child_does_not_count_as_alive(sleeper: State) -> None:
    psutil.Process(sleeper.pid).kill()
    end(sleeper, "61.25")
    assert not alive(sleeper, "61.25")
