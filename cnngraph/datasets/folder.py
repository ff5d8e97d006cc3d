"""``folder:PATH``: a folder with one subfolder a class, or with train / val / test folders of that kind."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np

from cnngraph.datasets.layout import Layout, find_layout, says_nothing
from cnngraph.datasets.listing import Listing, Passed, list_images, look_into
from cnngraph.datasets.pixels import FilePixels, Part, RawData
from cnngraph.datasets.volumes import volumes_error
from cnngraph.errors import DataError, NotFoundError, nearest

__all__ = ["read"]


def read(path: Path, layout: str | None = None) -> RawData:
    """List the images; none is opened.

    Args:
        layout: ``classes`` or ``parts``, where the names of the folders could mean both.

    Raises:
        NotFoundError: there is no such folder.
        DataError: it is no folder, its layout is not clear, it has no class folders, an empty class, or a part with a
            class that train lacks.
    """
    if not path.exists():
        raise NotFoundError(f"There is no data folder {path}.", "Give folder:PATH with one subfolder a class.")
    if not path.is_dir():
        raise DataError(f"{path} is a file, not a data folder.", "Give folder:PATH with one subfolder a class.")
    passed = Passed()
    found = find_layout(str(path), layout, passed)
    classes = found.parts["train"]
    _require_classes(path, found, classes)
    warnings = list(found.warnings)
    parts: dict[str, Part] = {}
    listings: dict[str, list[Listing]] = {}
    for part, folder in found.folders.items():
        _require_distinct(path / folder, found.parts[part])
        there = {_normal(name): name for name in found.parts[part]}
        if (
            part != "train"
            and len(there) == 1
            and says_nothing(*there)
            and not there.keys() & set(map(_normal, classes))
        ):
            warnings.append(
                f"{folder} is left out: its one folder, {next(iter(there.values()))}, is no class of train, so the "
                "classes of its images are not known."
            )
            continue
        _require_known(path / folder, there, classes)
        listings[part] = _list_part(path, folder, there, classes, passed)
        parts[part] = _as_part(path, listings[part])
        _judge_empty(path / folder, part, listings[part], classes, warnings)
    warnings += _of_unread(passed) + _of_links(passed) + _of_files(listings)
    taken_from = {part: found.folders[part] or "split" for part in parts}
    if "validation" in parts and "test" not in parts:
        # The layout of ImageNet: what is called val is what nets are judged on.
        parts["test"], taken_from["test"] = parts.pop("validation"), taken_from.pop("validation")
    return RawData(
        classes=[_normal(name) for name in classes],
        **parts,
        taken_from=taken_from,
        warnings=tuple(warnings),
        details=tuple(_of_passed(passed)),
    )


def _normal(name: str) -> str:
    """One spelling for names that look the same: a Mac writes an accent as a character of its own."""
    return unicodedata.normalize("NFC", name)


def _require_classes(path: Path, found: Layout, classes: list[str]) -> None:
    folder = path / found.folders["train"]
    if not classes:
        raise DataError(
            f"{folder} holds no class folders.", "Put the images of each class into a subfolder of its name."
        )
    if len(classes) > 1:
        return
    inside, _ = look_into(str(folder / classes[0]), Passed())
    if len(inside) > 1:
        raise DataError(
            f"{folder} has only one class, {classes[0]}; the folders in it ({', '.join(inside[:3])}"
            f"{', ...' if len(inside) > 3 else ''}) may be the classes.",
            f"If so, give: --data folder:{folder / classes[0]}",
        )


def _require_distinct(folder: Path, names: list[str]) -> None:
    spellings: dict[str, str] = {}
    for name in names:
        other = spellings.setdefault(_normal(name), name)
        if other != name:
            raise DataError(
                f"{folder} has two folders that are called {_normal(name)}, with accents written in two ways.",
                "Put their images into one of them.",
            )


def _require_known(folder: Path, there: dict[str, str], classes: list[str]) -> None:
    known = list(map(_normal, classes))
    unknown = sorted(set(there) - set(known))
    if unknown:
        raise DataError(
            f"{folder} has a class that train lacks: {unknown[0]}.",
            f"Give every part the same classes. {nearest(unknown[0], known)}",
        )


def _list_part(path: Path, folder: str, there: dict[str, str], classes: list[str], passed: Passed) -> list[Listing]:
    """The images of each class, by their path relative to the root of the data."""
    inside = f"{folder}/" if folder else ""
    listings = []
    for name in map(_normal, classes):
        if name not in there:
            listings.append(Listing())
            continue
        place = f"{inside}{there[name]}"
        above = [str(path), str(path / folder)]
        found = list_images(f"{path}/{place}", passed, above=above)
        listings.append(Listing([f"{place}/{image}" for image in found.names], found.ids))
    return listings


def _as_part(path: Path, listings: list[Listing]) -> Part:
    names = [name for listing in listings for name in listing.names]
    labels = np.repeat(np.arange(len(listings)), [len(listing.names) for listing in listings])
    return Part(FilePixels([f"{path}/{name}" for name in names]), labels.astype(np.int64), names)


def _judge_empty(folder: Path, part: str, listings: list[Listing], classes: list[str], warnings: list[str]) -> None:
    """A class without images cannot be learnt; one that is only not judged is said."""
    empty = [name for name, listing in zip(classes, listings, strict=True) if not listing.names]
    if empty and part == "train":
        raise volumes_error(folder / empty[0]) or DataError(
            f"The class folder {folder / empty[0]} holds no images.", "Fill it or delete it."
        )
    if empty:
        more = f" and {len(empty) - 3} more" if len(empty) > 3 else ""
        warnings.append(f"{folder.name} has no images of {', '.join(empty[:3])}{more}.")


def _of_unread(passed: Passed) -> list[str]:
    """Files that may be images of a kind that is not read are images that are missing: always said."""
    if not passed.unread:
        return []
    kinds = ", ".join(
        f"{count:,} {ending or 'without an ending'}" for ending, (count, _) in sorted(passed.unread.items())
    )
    first = min(path for _, path in passed.unread.values())
    return [f"Files of kinds that are not read are left out: {kinds} (first {first}). Convert those that are images."]


def _of_links(passed: Passed) -> list[str]:
    """Links that lead nowhere are images that are missing: always said."""
    if not passed.dead:
        return []
    count = (
        f"{len(passed.dead)} links lead nowhere, the first is" if len(passed.dead) > 1 else "This link leads nowhere:"
    )
    return [f"{count} {min(passed.dead)}."]


def _of_files(listings: dict[str, list[Listing]]) -> list[str]:
    """Files that two classes or two parts share."""
    ids = [each for part in listings.values() for listing in part for each in listing.ids]
    if len(set(ids)) == len(ids):
        return []
    first: dict[tuple[int, int], str] = {}
    twice: list[tuple[str, str]] = []
    for part in listings.values():
        for listing in part:
            for name, identity in zip(listing.names, listing.ids, strict=True):
                if identity in first:
                    twice.append((first[identity], name))
                else:
                    first[identity] = name
    one, other = min(twice)
    count = f"{len(twice):,} images are" if len(twice) > 1 else "One image is"
    return [f"{count} in two classes or parts, as links to one file: {one} and {other}{', ...' if twice[1:] else ''}."]


def _of_passed(passed: Passed) -> list[str]:
    """What was passed over as a matter of course."""
    counts = (
        (passed.hidden, "hidden files and folders"),
        (passed.others, "files that are no images"),
        (passed.again, "files and folders that another path leads to"),
        (len(passed.loops), "links that lead back to a folder that they are in"),
    )
    said = [f"{count:,} {what}" for count, what in counts if count]
    return [f"Passed over: {'; '.join(said)}."] if said else []
