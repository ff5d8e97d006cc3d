"""Logs of reviews as files: JSON, or CSV for a spreadsheet, with a digest that tells when one was changed by hand."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnngraph.database.reviews import Binding, Choice, Log, stored_choices
from cnngraph.errors import ConflictError, ModelError, NotFoundError, UsageError
from cnngraph.files import write_text
from cnngraph.settings import home_dir
from cnngraph.validation import Fail, parse_as, read_object

if TYPE_CHECKING:
    from cnngraph.database.connection import Database

__all__ = ["FORMATS", "check_format", "keep_logs", "read_file", "require_yes", "write_file"]

VERSION = 1
FORMATS = (".json", ".csv")
_HEAD = ("version", "model", "sha256", "recipe", "digest")
_CHOICE = tuple(one.name for one in fields(Choice))
_HINT = "Write it again: cnngraph review NAME --export FILE"


def check_format(path: Path) -> None:
    """Return if a log can be written to ``path`` or read from it, by its suffix; raises UsageError."""
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"{path} is neither .json nor .csv.", "Name a file such as review.json.")


def write_file(log: Log, path: Path) -> Path:
    """Write ``log`` to ``path``, as JSON or CSV by its suffix; whole or not at all.

    Raises:
        UsageError: another suffix.
    """
    check_format(path)
    content = _content(log.binding, [asdict(one) for one in log.choices])
    return write_text(path, _as_csv(content) if path.suffix.lower() == ".csv" else _as_json(content))


def read_file(path: Path) -> Log:
    """The log in a file that :func:`write_file` wrote.

    Raises:
        NotFoundError: there is no such file. UsageError: another suffix.
        ModelError: it is no such log, of a newer version, or was changed by hand.
    """
    check_format(path)
    if not path.is_file():
        raise NotFoundError(f"There is no review log {path}.", "Write one with: cnngraph review NAME --export FILE")

    def fail(why: str) -> ModelError:
        return ModelError(f"{path} is no review log: {why}.", _HINT)

    content = (_from_csv if path.suffix.lower() == ".csv" else read_object)(_text(path, fail), fail)
    missing = next((name for name in (*_HEAD, "choices") if name not in content), None)
    if missing is not None:
        raise fail(f"it has no {missing}")
    if content["version"] != VERSION:
        raise ModelError(
            f"{path} is a review log of version {content['version']}; this cnngraph reads version {VERSION}.",
            "Install the version of cnngraph that wrote it.",
        )
    if content["digest"] != _digest(content):
        raise ModelError(f"{path} was changed since it was written: its digest is another.", _HINT)
    choices = parse_as(tuple[Choice, ...], content["choices"], fail)
    twice = {one.id for one in choices}
    if len(twice) != len(choices):
        raise fail("a choice stands in it twice")
    return Log(Binding(content["model"], content["sha256"], content["recipe"]), choices)


def require_yes(db: Database, key: str, *, yes: bool) -> None:
    """Return if nobody judged the filters of the model, or it may go all the same.

    Raises:
        ConflictError: people have judged it, and ``yes`` was not said.
    """
    _, choices = stored_choices(db, key)
    if choices and not yes:
        people = sorted({str(one.get("by")) for one in choices})
        raise ConflictError(
            f"{len(choices):,} choices of {', '.join(people)} on the filters of {key} would go with it.",
            f"Add --yes: they are written into {_folder()} first.",
        )


def keep_logs(db: Database, key: str) -> list[Path]:
    """Write what people decided on the filters of a model into the home, before it goes; the files.

    As it stands in the graph, whatever somebody did to it there.
    """
    reviews, choices = stored_choices(db, key)
    bound = {one["key"]: (one["sha256"] or "", one["recipe"] or "") for one in reviews}
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for one in choices:
        found.setdefault(bound[one.pop("review")], []).append(one)
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
    paths = []
    for (sha256, recipe), mine in found.items():
        path = _folder() / f"{key.replace('/', '-')}-{sha256[:12]}-{now}.json"
        paths.append(write_text(path, _as_json(_content(Binding(key, sha256, recipe), mine))))
    return paths


def _folder() -> Path:
    return home_dir() / "reviews"


def _content(binding: Binding, choices: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    # What is empty is left out: a cell of a CSV file cannot tell it from what is not there.
    plain = [{name: value for name, value in one.items() if value not in (None, "")} for one in choices]
    content = {"version": VERSION, **asdict(binding), "choices": plain}
    return {**content, "digest": _digest(content)}


def _digest(content: Mapping[str, Any]) -> str:
    """A hash of all that a log says: no signature, but whoever edits a file by hand is told of it."""
    covered = {name: content[name] for name in ("version", "model", "sha256", "recipe", "choices")}
    return hashlib.sha256(json.dumps(covered, sort_keys=True).encode()).hexdigest()


def _text(path: Path, fail: Fail) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeError as error:
        raise fail("it is no UTF-8 text") from error


def _as_json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2) + "\n"


def _as_csv(content: Mapping[str, Any]) -> str:
    """One row a choice; what is of the whole log stands in each."""
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow((*_HEAD, *_CHOICE))
    head = [content[name] for name in _HEAD]
    for one in content["choices"] or [{}]:  # a log without choices has one row, of the log alone
        writer.writerow([*head, *(_cell(one.get(name)) for name in _CHOICE)])
    return out.getvalue()


def _cell(value: Any) -> str:
    """A value as a cell; a text that a spreadsheet would take for a formula gets an apostrophe before it."""
    text = "" if value is None else str(value)
    return f"'{text}" if text[:1] in {*"=+-@'", "\t", "\r"} else text


def _value(name: str, cell: str) -> Any:
    if name in ("channel", "number"):
        return int(cell)
    if name == "blind":
        return {"True": True, "False": False}[cell]
    return cell.removeprefix("'")


def _from_csv(text: str, fail: Fail) -> dict[str, Any]:
    try:
        rows = list(csv.DictReader(StringIO(text), strict=True))
        head = {name: rows[0][name] for name in _HEAD}
        if any(row[name] != head[name] for row in rows for name in _HEAD):
            raise fail("its rows are of several logs")
        choices = [{name: _value(name, row[name]) for name in _CHOICE if row[name]} for row in rows]
        return {**head, "version": int(head["version"]), "choices": [one for one in choices if one]}
    except (csv.Error, IndexError, KeyError, TypeError, ValueError) as error:
        raise fail(f"it is not the CSV of one ({error})") from error
