"""Trainings that run side by side, each on one thread in a copy of this process.

A copy (a fork) has the opened net and the images already, and shares their memory. What it makes it leaves in files,
which the process that asked reads: so what comes out is the same whether it ran beside others, alone, or was killed
and gone on with.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Generic, TypeVar

from cnngraph.console import Progress, Quiet
from cnngraph.errors import CnngraphError

if TYPE_CHECKING:
    from cnngraph.training.execution import Execution

__all__ = ["do_side_by_side", "how_many_at_once"]

Item = TypeVar("Item")
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)


def how_many_at_once(execution: Execution) -> int:
    """How many trainings that run like this the processor has threads for; one where the machine has a GPU.

    torch cannot train in a copy of a process that has touched a GPU, and touches it at the first training wherever one
    is, on the CPU too.
    """
    import torch

    from cnngraph.training.execution import MOST_AT_ONCE

    if execution.threads != 1 or not sys.platform.startswith("linux") or torch.cuda.is_available():
        return 1
    return min(torch.get_num_threads(), MOST_AT_ONCE)


def do_side_by_side(
    items: Iterable[Item],
    work: Callable[[Item, Progress], object],
    *,
    at_once: int,
    words: Callable[[Item], str],
    progress: Progress,
) -> Iterator[Item]:
    """Work on each item, and give it as soon as it is done; one after the other, here, where ``at_once`` is 1.

    Args:
        items: the next one is asked for when there is a place for it.
        work: leaves what it makes in files. It must not use what a copy of a process cannot share, as a connection.
        words: what an item is called.
        progress: told what the copies note, with the item's name before it.

    Raises:
        CnngraphError: one raised it, or was ended from outside. The others are ended too: they go on next time.
    """
    if at_once == 1:
        for item in items:
            work(item, progress)
            yield item
        return
    coming, running = iter(items), list[_Copy[Item]]()
    try:
        while True:
            while len(running) < at_once:
                try:
                    item = next(coming)
                except StopIteration:
                    break
                running.append(_Copy.start(item, work))
            if not running:
                return
            ready = wait([one.said for one in running])
            for one in [one for one in running if one.said in ready]:
                if one.is_done(words(one.item), progress):
                    running.remove(one)
                    yield one.item
    finally:
        for one in running:
            one.end()


@dataclass(frozen=True)
class _Copy(Generic[Item]):
    """A copy of this process at work on an item; ``said``: where it tells how it gets on."""

    item: Item
    process: multiprocessing.process.BaseProcess
    said: Connection

    @classmethod
    def start(cls, item: Item, work: Callable[[Item, Progress], object]) -> _Copy[Item]:
        said, telling = multiprocessing.Pipe(duplex=False)
        process = multiprocessing.get_context("fork").Process(
            target=_work_in_copy, args=(work, item, telling, os.getpid()), daemon=True
        )
        with warnings.catch_warnings():
            # Python 3.12 warns where there are other threads. They hold no lock that torch needs: bars, a watcher of
            # the clock and the database's driver, none of which a copy uses.
            warnings.simplefilter("ignore", DeprecationWarning)
            process.start()
        telling.close()
        return cls(item, process, said)

    def is_done(self, words: str, progress: Progress) -> bool:
        """Take in what it says next.

        Raises:
            CnngraphError: it failed.
        """
        try:
            kind, content = self.said.recv()
        except EOFError:
            self.process.join()
            raise CnngraphError(
                f"The process for {words} was ended from outside (exit code {self.process.exitcode}).",
                "The memory may not reach for several at once: with OMP_NUM_THREADS=1 they run one after the other. "
                "The same command goes on.",
            ) from None
        if kind == "note":
            progress.note(f"{words}: {content}")
        elif kind == "failed":
            self.process.join()
            raise content
        else:
            self.process.join()
            self.said.close()
        return bool(kind == "done")

    def end(self) -> None:
        """End it, whatever it does: its files are whole at any time."""
        self.process.kill()
        self.process.join()
        self.said.close()


class _Told(Quiet):
    """The progress of a copy: what it notes goes to the process that asked; bars of several at once would mix."""

    def __init__(self, telling: Connection) -> None:
        self._telling = telling

    def note(self, text: str) -> None:
        self._telling.send(("note", text))


def _work_in_copy(work: Callable[[Item, Progress], object], item: Item, telling: Connection, parent: int) -> None:
    """What a copy does from its beginning to its end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process; the one that asked ends the copies
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != parent:  # it was killed before
        os._exit(1)
    try:
        import torch

        torch.set_num_threads(1)  # the threads of the process that asked were not copied: torch would wait for them
        work(item, _Told(telling))
        telling.send(("done", None))
    except CnngraphError as error:
        telling.send(("failed", error))
    except BaseException:  # noqa: BLE001 (a copy must not go on where the process that asked stands)
        telling.send(("failed", RuntimeError(traceback.format_exc())))
    telling.close()
    os._exit(0)  # nothing of the other process is to be taken apart here
