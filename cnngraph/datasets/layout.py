"""How a folder is laid out: which of its folders are parts (train, validation, test) and which are classes.

A folder is a part where its name says so *and* it holds class folders. One that is named like a part and holds images
itself has no labels: beside a train part it is left out, and said. A name that could be both is refused until a person
says which (``--layout``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from cnngraph.datasets.listing import Passed, look_into
from cnngraph.errors import DataError

__all__ = ["LAYOUTS", "Layout", "find_layout", "part_of_name", "says_nothing"]

LAYOUTS = ("classes", "parts")

_WORDS = {
    "train": ("train", "training", "trainval", "trn"),
    "validation": ("val", "valid", "validation", "validate", "validating", "dev", "devel", "development", "eval",
                   "evaluate", "evaluation", "publictest"),
    "test": ("test", "testing", "tst", "holdout", "heldout", "privatetest"),
}  # fmt: skip
_THINGS = "sets?|data|datasets?|images?|imgs?|pictures?|pics?|photos?|samples?|splits?|parts?|folders?|dir|files?"
_ALL = {word: part for part, words in _WORDS.items() for word in words}
_NAME = re.compile(
    rf"(?:{_THINGS})?(?P<word>{'|'.join(sorted(_ALL, key=len, reverse=True))})(?:{_THINGS}){{0,2}}\d*", re.ASCII
)

_NOTHING = re.compile(rf"(?:all|unknown|unlabell?ed|unsorted|none|x|{_THINGS})(?:{_THINGS})?\d*", re.ASCII)

_NEARLY = re.compile(
    rf"tr|te|ts|va|vl|(?:un)?seen|cv\d+|k?folds?\d*|(?:{'|'.join(_ALL)})[a-z]?\d*|.*(?:train|test|val|eval)"
)


def part_of_name(name: str) -> str | None:
    """The part that a folder's name says: capitals, ``_``, ``-``, spaces and a number at its end make no difference.

    >>> [part_of_name(name) for name in ("Train_Set", "valid", "test1", "images-test", "val2017", "bus", "tester")]
    ['train', 'validation', 'test', 'test', 'validation', None, None]
    """
    found = _NAME.fullmatch(re.sub(r"[\W_]+", "", name.casefold()))
    return _ALL[found["word"]] if found else None


def says_nothing(name: str) -> bool:
    """Whether a folder's name says only that there are images in it, as that of unlabelled ones does.

    >>> [says_nothing(name) for name in ("images", "Unknown", "all_images", "test", "cow")]
    [True, True, True, True, False]
    """
    plain = re.sub(r"[\W_]+", "", name.casefold())
    return bool(_NOTHING.fullmatch(plain)) or part_of_name(name) is not None


def _like_a_part(name: str) -> bool:
    """Whether a name is none that a part has, but may have been meant so.

    >>> [_like_a_part(name) for name in ("tr", "fold3", "trainB", "split_1", "sick", "cat")]
    [True, True, True, True, False, False]
    """
    return says_nothing(name) or bool(_NEARLY.fullmatch(re.sub(r"[\W_]+", "", name.casefold())))


@dataclass
class Layout:
    """What the folders of a data set are.

    Attributes:
        parts: for each part the names of its class folders, by the part; ``train`` alone where nothing is split.
        folders: for each part the folder that it is, relative to the root; "" for the root itself.
        warnings: sentences about what was left out.
    """

    parts: dict[str, list[str]]
    folders: dict[str, str]
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Folder:
    """A folder beside others: its own folders and images."""

    name: str
    folders: list[str]
    images: list[str]

    @property
    def empty(self) -> bool:
        return not (self.folders or self.images)


def find_layout(root: str, layout: str | None, passed: Passed) -> Layout:
    """Tell parts from classes.

    Args:
        layout: ``classes`` or ``parts`` where a person has said so.

    Raises:
        DataError: there are no class folders, no train part beside others, two folders for one part, or a name that
            could be a class or a part.
    """
    names, images = look_into(root, passed)
    if not names:
        what = "holds images but no class folders" if images else "holds no class folders"
        raise DataError(f"{root} {what}.", "Put the images of each class into a subfolder of its name.")
    part_names = [name for name in names if part_of_name(name)] if layout != "classes" else []
    if not part_names:
        if layout == "parts":
            raise DataError(
                f"{root} has no part: {_list(names)}.", "Name its folders train, val and test, or --layout classes."
            )
        alike = _alike(root, names) if layout is None else []
        return Layout({"train": names}, {"train": ""}, _stray(root, images) + alike)
    known = {name: _Folder(name, *look_into(f"{root}/{name}", Passed())) for name in names}
    holding = {name: known[name] for name in part_names if known[name].folders}
    if any(part_of_name(name) == "train" for name in holding):
        return _of_parts(root, known, holding, images, layout)
    return _without_train(root, known, holding, images, layout)


def _of_parts(
    root: str, known: dict[str, _Folder], holding: dict[str, _Folder], images: list[str], layout: str | None
) -> Layout:
    """There is a train folder with class folders: so these are parts."""
    found = _one_folder_a_part(root, holding)
    others = [folder for name, folder in known.items() if name not in holding and not folder.empty]
    classes = {name for folder in holding.values() for name in folder.folders}
    doubtful = [folder.name for folder in others if folder.name in classes]
    if doubtful and layout is None:
        raise DataError(
            f"{root} has the folder {doubtful[0]} both in {found['train']} and beside it: are these parts or classes?",
            "Say which: --layout parts (what stands beside the parts is left out) or --layout classes.",
        )
    warnings = _stray(root, images)
    for folder in others:
        if part_of_name(folder.name):
            warnings.append(_unlabelled(folder.name))
        else:
            warnings.append(
                f"{folder.name} is left out: it is no part (train, val, test) and stands beside {found['train']}."
            )
    for name, folder in holding.items():
        warnings += _stray(f"{root}/{name}", folder.images)
    return Layout({part: holding[name].folders for part, name in found.items()}, found, warnings)


def _without_train(
    root: str, known: dict[str, _Folder], holding: dict[str, _Folder], images: list[str], layout: str | None
) -> Layout:
    """Some folders are named like parts, but none is a train part with class folders."""
    part_names = [name for name in known if part_of_name(name)]
    beside = [name for name in known if name not in part_names and not known[name].empty]
    if holding and len(beside) > 1 and all(set(folder.folders) <= set(beside) for folder in holding.values()):
        found = _one_folder_a_part(root, holding)  # the classes of train stand beside the other parts
        parts = {"train": beside} | {part: holding[name].folders for part, name in found.items()}
        warnings = _stray(root, images) + [_unlabelled(name) for name in part_names if name not in holding]
        for name, folder in holding.items():
            warnings += _stray(f"{root}/{name}", folder.images)
        return Layout(parts, {"train": ""} | found, warnings)
    if layout == "parts" or not beside:
        if holding:
            raise DataError(
                f"{root} has {_list(list(holding))} but no train part.",
                f"To take the classes of one: --data folder:{Path(root) / next(iter(holding))}; or --layout classes.",
            )
        raise DataError(
            f"{root} has {_list(part_names)}, which hold no class folders.",
            "Put the images of each class into a subfolder of its name; or --layout classes.",
        )
    if not holding and all(part_of_name(name) == "train" for name in part_names):
        return Layout({"train": list(known)}, {"train": ""}, _stray(root, images))  # a train is a vehicle too
    first = next(name for name in part_names if part_of_name(name) != "train" or name in holding)
    raise DataError(
        f"{root} has the folder {first} beside {_list(beside)}: is it a part or a class?",
        "Say which: --layout classes; or put the classes into a folder train beside it.",
    )


def _one_folder_a_part(root: str, holding: dict[str, _Folder]) -> dict[str, str]:
    """The folder of each part."""
    found: dict[str, str] = {}
    for name in holding:
        part = str(part_of_name(name))
        if part in found:
            raise DataError(
                f"{root} has two folders that could be its {part} part: {found[part]} and {name}.",
                "Move or rename the one that is not meant: they are never put together.",
            )
        found[part] = name
    return found


def _alike(root: str, names: list[str]) -> list[str]:
    """A sentence where folders hold the same folders and are called nearly as parts are: tr and te, folds, trainA."""
    if len(names) < 2 or not all(_like_a_part(name) for name in names):
        return []
    inside: list[str] = []
    for name in names:
        folders, _ = look_into(f"{root}/{name}", Passed())
        if len(folders) < 2 or (inside and folders != inside):
            return []
        inside = folders
    said = f"{_list(names)} each hold the same folders ({_list(inside)}), and are themselves taken for the classes."
    return [f"{said} If they are parts, call them train, val and test; if they are the classes: --layout classes."]


def _unlabelled(name: str) -> str:
    return f"{name} is left out: it holds no class folders, so the classes of its images are not known."


def _stray(folder: str, images: list[str]) -> list[str]:
    if not images:
        return []
    more = f"{len(images):,} images stand" if len(images) > 1 else "1 image stands"
    return [f"{more} in {folder} itself, in no class folder, and are left out (first {images[0]})."]


def _list(names: Iterable[str]) -> str:
    shown = list(names)
    return ", ".join(shown[:4]) + (", ..." if len(shown) > 4 else "")
