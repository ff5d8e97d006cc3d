"""Unfinished work, kept so that the same call goes on where an interrupted one was.

A job is named by a hash of its inputs: the same inputs name the same folder, others another, and so does another
version of this program, which may compute otherwise. Inside, each stage leaves a JSON file when it is done: it is made
once and read afterwards, also by the very process that made it, so that what comes out never depends on interruptions.

In the folder ``work`` of the home:

    DIGEST/slim.json, slim/ ...      a prune, held by DIGEST.lock while it runs
    plan-DIGEST.json                 a measured plan, until its prune has stored the new model
    drop-DIGEST.json                 the trials of a search by accuracy
    car-DIGEST.json                  the filters that the method car found so far; read by the same search
    evidence-DIGEST/                 what images say about filters; read by every later look at them
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnngraph import __version__
from cnngraph.console import Progress
from cnngraph.errors import ConflictError, PlanError, VerificationError
from cnngraph.files import write_text
from cnngraph.plan import Plan, read_plan, write_plan
from cnngraph.validation import read_stage

__all__ = ["JobFolder", "Stage", "Workspace", "hash_inputs"]

_NAME = "name.txt"  # in a job's folder: what is being stored, so that one that goes on may have its name


def hash_inputs(inputs: Mapping[str, object]) -> str:
    """Name a job by its inputs (what JSON holds; all else as text) and the version of this program: 16 hex digits."""
    content = json.dumps({"cnngraph": __version__} | dict(inputs), sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Stage:
    """A step that is made once: the file that it leaves when it is done, a JSON object."""

    path: Path

    @property
    def is_done(self) -> bool:
        """Whether an earlier run, or this one, has got as far."""
        return self.path.is_file()

    def read(self) -> dict[str, Any]:
        """What it left.

        Raises:
            ModelError: the file is damaged.
        """
        return read_stage(self.path)

    def write(self, content: Mapping[str, Any]) -> None:
        """Say that it is done; the file is there as a whole, or not at all."""
        write_text(self.path, json.dumps(dict(content), indent=2))

    def once(self, make: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
        """What it left; made now where nobody has got as far."""
        if not self.is_done:
            self.write(make())
        return self.read()


@dataclass(frozen=True)
class JobFolder:
    """Where one job leaves its stages."""

    path: Path

    def stage(self, name: str) -> Stage:
        """The stage that leaves ``NAME.json``; a name may be ``FOLDER/NAME``."""
        return Stage(self.path / f"{name}.json")

    def say_name(self, name: str) -> None:
        """Note which name is being stored: see :meth:`Workspace.names_begun`."""
        write_text(self.path / _NAME, name)

    def remove(self) -> None:
        """Remove it, when everything is stored."""
        shutil.rmtree(self.path)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder, which need not be there, against other processes.

        The lock is ``FOLDER.lock`` beside it. The kernel takes it back from a holder that dies, however it dies, so
        that a file which a kill left behind hinders nobody; process and host in it are for the message alone.

        Raises:
            ConflictError: another process holds it; the message names it.
        """
        lock = self.path.with_name(f"{self.path.name}.lock")
        lock.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _lock(lock)
        try:
            os.truncate(descriptor, 0)
            os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
            yield
        finally:
            lock.unlink(missing_ok=True)
            os.close(descriptor)


@dataclass(frozen=True)
class Workspace:
    """The folder of unfinished work; it need not be there."""

    root: Path

    def job(self, inputs: Mapping[str, object]) -> JobFolder:
        """The folder of the job with these inputs."""
        return JobFolder(self.root / hash_inputs(inputs))

    def folder(self, what: str, inputs: Mapping[str, object]) -> JobFolder:
        """The folder of something that is kept when it is done, such as the evidence about filters."""
        return JobFolder(self.root / f"{what}-{hash_inputs(inputs)}")

    def file(self, what: str, inputs: Mapping[str, object]) -> Path:
        """The file of something smaller than a job, such as the trials of a search."""
        return self.root / f"{what}-{hash_inputs(inputs)}.json"

    def names_begun(self, job: JobFolder | None = None) -> set[str]:
        """The names of models that an interrupted job, or this one, had begun to store."""
        found = self.root.glob(f"{job.path.name if job else '*'}/{_NAME}")
        return {note.read_text(encoding="utf-8") for note in found}

    @contextmanager
    def keep_plan(
        self, inputs: Mapping[str, object] | None, decide: Callable[[], Plan], *, keep: bool, progress: Progress
    ) -> Iterator[Plan]:
        """The plan for the prune in the ``with`` block: that of an interrupted one with the same inputs, or a new one.

        It is forgotten when the block is through, or refuses it: then another may do. Latency scatters: decided anew,
        an interrupted prune might choose other filters or layers, and train from the start what it had half trained.

        Args:
            inputs: all that decides, and how the net will be trained: a prune that trains otherwise has a plan of its
                own, which the end of this one does not take away. ``None``: deciding anew comes out the same.
            keep: ``False`` for a dry run, which stores nothing: nothing is kept or forgotten.
        """
        if inputs is None:
            yield decide()
            return
        path = self.file("plan", inputs)
        plan = _read_kept(path, progress)
        if plan is None:
            plan = decide()
            if keep:
                write_plan(plan, path)
        try:
            yield plan
        except (PlanError, VerificationError):
            path.unlink(missing_ok=True)
            raise
        if keep:
            path.unlink(missing_ok=True)


def _read_kept(path: Path, progress: Progress) -> Plan | None:
    if not path.is_file():
        return None
    try:
        plan = read_plan(path)
    except PlanError:  # half a file of a crashed disk, or another program's: it is decided again
        return None
    progress.note(f"Going on with the plan of an interrupted prune, not measured again (delete {path} to measure).")
    return plan


def _lock(path: Path) -> int:
    """The descriptor of the lock file, locked."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 200, 0).decode(errors="replace") or "another process"
            os.close(descriptor)
            raise ConflictError(
                f"The same job is running now ({holder}).", "Let it finish, or stop it: this command then goes on."
            ) from error
        if _is_still(path, descriptor):
            return descriptor
        os.close(descriptor)  # its last holder removed it between our opening and our locking


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
