"""Every image under a folder by its path; hidden things are passed over, links are followed. No file is opened."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from cnngraph.datasets.image_files import ending_of_unread, is_hidden, is_image
from cnngraph.errors import DataError

__all__ = ["Listing", "Passed", "list_images", "look_into"]

FileId = tuple[int, int]  # device and inode: the file or folder that a path leads to


@dataclass
class Passed:
    """What was passed over: hidden files and folders, files that are no images, links and files met a second time.

    ``unread``: by their ending, how many files may be images of a kind that is not read, and the first of them.
    """

    hidden: int = 0
    others: int = 0
    unread: dict[str, tuple[int, str]] = field(default_factory=dict)
    again: int = 0
    dead: list[str] = field(default_factory=list)
    loops: list[str] = field(default_factory=list)

    def count_other(self, folder: str, name: str) -> None:
        """Count a file that is not read."""
        ending = ending_of_unread(name.rpartition("/")[2])
        if ending is None:
            self.others += 1
            return
        count, first = self.unread.get(ending, (0, ""))
        path = f"{folder}/{name}"
        self.unread[ending] = (count + 1, min(first or path, path))


@dataclass
class Listing:
    """Images by their path relative to a folder, with ``/``, and the file that each leads to."""

    names: list[str] = field(default_factory=list)
    ids: list[FileId] = field(default_factory=list)


def look_into(folder: str, passed: Passed) -> tuple[list[str], list[str]]:
    """The names of the folders (and of links to folders) and of the images that stand in ``folder`` itself, sorted.

    Raises:
        DataError: the folder cannot be read.
    """
    folders: list[str] = []
    images: list[str] = []
    for entry in _entries(folder):
        if is_hidden(entry.name):
            passed.hidden += 1
        elif _is_folder(entry):
            folders.append(entry.name)
        elif entry.is_symlink() and not Path(entry.path).exists():
            passed.dead.append(entry.path)
        elif is_image(entry.name):
            images.append(entry.name)
        else:
            passed.count_other(folder, entry.name)
    return sorted(folders), sorted(images)


def list_images(folder: str, passed: Passed, *, above: Iterable[str] = ()) -> Listing:
    """The images under ``folder`` at any depth, sorted by path.

    Real files come before links, so a file that several paths lead to is listed once, under its real path where that
    is inside. A link to a folder that was listed already, or to one of ``above``, is not followed.

    Args:
        above: the folders that ``folder`` is in, up to the root of the data: a link to one of them is a loop.

    Raises:
        DataError: a folder cannot be read.
    """
    parents = {_identity(parent) for parent in above}
    if _identity(folder) in parents:
        passed.loops.append(folder)
        return Listing()
    visited = set(parents)
    found: dict[FileId, str] = {}
    links = _list_real(folder, "", found, visited, passed)
    while links:
        links.sort(reverse=True)
        name = links.pop()
        path = f"{folder}/{name}"
        try:
            target = Path(path).stat()
        except OSError:  # it leads nowhere, or only to itself
            passed.dead.append(path)
            continue
        identity = (target.st_dev, target.st_ino)
        if not stat.S_ISDIR(target.st_mode):
            _add_link(found, folder, name, identity, passed)
        elif identity not in visited:
            links += _list_real(path, f"{name}/", found, visited, passed)
        elif identity in parents or _leads_up(path):
            passed.loops.append(path)
        else:
            passed.again += 1
    rows = sorted((name, identity) for identity, name in found.items())
    return Listing([name for name, _ in rows], [identity for _, identity in rows])


def _list_real(folder: str, prefix: str, found: dict[FileId, str], visited: set[FileId], passed: Passed) -> list[str]:
    """Add the real files under ``folder`` to ``found``; the links that are there, which are not followed."""
    links: list[str] = []
    waiting = [(folder, prefix)]
    while waiting:
        here, prefix = waiting.pop()
        identity = _identity(here)
        visited.add(identity)
        device = identity[0]
        for entry in _entries(here):
            name = entry.name
            if is_hidden(name):
                passed.hidden += 1
            elif entry.is_symlink():
                links.append(prefix + name)
            elif entry.is_dir(follow_symlinks=False):
                waiting.append((entry.path, f"{prefix}{name}/"))
            elif not is_image(name):
                passed.count_other(here, name)
            else:
                path, file = prefix + name, (device, entry.inode())
                if file in found:  # one file under two names (a hard link): the first name in order is its name
                    passed.again += 1
                    path = min(path, found[file])
                found[file] = path
    return links


def _add_link(found: dict[FileId, str], folder: str, name: str, identity: FileId, passed: Passed) -> None:
    if not is_image(name):
        passed.count_other(folder, name)
    elif identity in found:
        passed.again += 1
    else:
        found[identity] = name


def _leads_up(path: str) -> bool:
    """Whether the link ``path`` leads to a folder that it stands in."""
    link = Path(path)
    return link.parent.resolve().is_relative_to(link.resolve())


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Also of a link that leads to itself, which is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _identity(folder: str) -> FileId:
    try:
        known = Path(folder).stat()
    except OSError as error:
        raise _unreadable(folder, error) from error
    return known.st_dev, known.st_ino


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise _unreadable(folder, error) from error


def _unreadable(folder: str, error: OSError) -> DataError:
    return DataError(f"The folder {folder} cannot be read: {error.strerror}.", "Give yourself the right to read it.")
