"""Freed memory stays with the process where glibc can be told so, and nothing fails where it cannot."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from cnngraph.cli import allocator

FAULTS = """
import resource, sys
from cnngraph.cli.allocator import keep_freed_memory
kept = sys.argv[1] == "kept" and keep_freed_memory()
for _ in range(20):
    bytearray(40 * 2**20)  # written to, so that each page is faulted in
print(int(kept), resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


def run(how: str) -> tuple[int, int]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    command = [sys.executable, "-c", FAULTS, how]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    kept, faults = done.stdout.split()
    return int(kept), int(faults)


def test_what_is_freed_is_used_again() -> None:
    kept, faults = run("kept")
    if not kept:
        pytest.skip("no glibc")
    assert faults < run("plain")[1]


def test_without_glibc_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(name: str) -> str:
        raise ValueError("unrecognized configuration name")

    monkeypatch.setattr(os, "confstr", unknown)
    assert not allocator.keep_freed_memory()
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not allocator.keep_freed_memory()


def test_what_the_environment_says_is_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_ARENA_MAX", "2")
    monkeypatch.setattr(os, "confstr", lambda name: pytest.fail("asked all the same"))
    assert not allocator.keep_freed_memory()
