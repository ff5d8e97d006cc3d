"""Every error that cnngraph raises on purpose, and the exit code that each one gives the command line.

    CnngraphError            1  failed, also a thing that is there but unusable
    ├── UsageError           2  wrong on the command line itself, found before any look-up
    │   └── OptionError      2  the same of an option, which Python knows as a keyword
    ├── NotFoundError        3  a named model, layer, data set, query, profile or file is not there
    ├── DatabaseError        4  the database is unreachable or refuses
    ├── VerificationError    5  a rebuilt net is not what the plan says
    ├── TraceError           1  a network that cannot be followed
    ├── SpecError            1  a Network (in memory, in a bundle, in the database) that contradicts itself
    ├── ModelError           1  a model or weights file that is there but unusable
    │   └── DivergedError    1  a training whose loss became NaN or infinite
    ├── DataError            1  a data set that is there but unusable
    ├── PlanError            1  a plan that cannot be made or carried out
    │   └── LimitError       1  limits that cannot all hold for this net
    └── ConflictError        1  the thing exists with other content, or somebody else holds it

The message is one line that says what is wrong; ``hint`` is one line that says what to do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

__all__ = [
    "CnngraphError",
    "ConflictError",
    "DataError",
    "DatabaseError",
    "DivergedError",
    "LimitError",
    "ModelError",
    "NotFoundError",
    "OptionError",
    "PlanError",
    "SpecError",
    "TraceError",
    "UsageError",
    "VerificationError",
    "explain",
    "for_command",
    "listed",
    "name_options",
    "nearest",
    "readable",
]

# Terminal colours and links, which other tools write into their messages.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_OPERATOR = re.compile(r"<OpOverload\(op='([\w.]+)', overload='\w+'\)>")
# Sentences of other tools that say nothing of the fault, or give advice that does not fit here or would be dangerous.
_ADVICE = re.compile(
    r"weights_only|weights only load failed|can still be loaded|trust|allow_pickle|safe_globals|arbitrary code"
    r"|this is step \d|^failed to convert the exported program|^error when translating node|^failure message:"
    r"|^see the stack trace|for more information|for extended logs|TORCH_LOGS|TORCHDYNAMO|^next steps"
    r"|^please (?:report|file|submit|open)|^for debugging|TORCH_USE_CUDA_DSA|^set the environment",
    re.IGNORECASE,
)
_LONGEST = 400


class CnngraphError(Exception):
    """Root of the tree; ``message`` says what is wrong, ``hint`` (may be empty) what to do."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class UsageError(CnngraphError):
    """Wrong on the command line itself: unknown method or measure, a value out of range."""

    exit_code = 2


class OptionError(UsageError):
    """Options that do not go together, or a value that one of them cannot have.

    Message and hint name options in braces, ``{round_to}`` or with a value ``{round_to=0}``; Python reads of keywords
    (``round_to=0``), the command line of options (``--round-to 0``): :func:`for_command`.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(name_options(message), name_options(hint))
        self.templates = message, hint


class NotFoundError(CnngraphError):
    """Something was named that is not there."""

    exit_code = 3


class DatabaseError(CnngraphError):
    """The database cannot be reached, refuses, or lacks what the command needs."""

    exit_code = 4


class VerificationError(CnngraphError):
    """The rebuilt net failed its proof; nothing was stored."""

    exit_code = 5


class TraceError(CnngraphError):
    """The net cannot be followed; the message names the line of the user's code."""


class SpecError(CnngraphError):
    """A Network contradicts itself; the message names table, column and row."""


class ModelError(CnngraphError):
    """A model or weights file is there but unusable."""


class DivergedError(ModelError):
    """The loss of a training became NaN or infinite."""


class DataError(CnngraphError):
    """A data set is there but unusable."""


class PlanError(CnngraphError):
    """A plan cannot be made, or does not fit the net that it is applied to. The hint names options in braces, as in
    :class:`OptionError`; the message is taken as it is: it may quote anything.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, name_options(hint))
        self.templates = "", hint


class LimitError(PlanError):
    """Limits that cannot all hold for this net. Options are named in braces, as in :class:`OptionError`."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(name_options(message), hint)
        self.templates = message, hint


class ConflictError(CnngraphError):
    """The name exists with other content, or another writer holds it."""


def explain(error: BaseException) -> str:
    """Why something failed, in one line without a full stop: the root of the chain of causes, without tools' advice.

    Colours, control signs and sentences that only advise (``weights_only=False``, ``TORCH_LOGS``) are left out; an
    error that says nothing more gives its type. One of ours is taken as it is.

    >>> explain(KeyError("x")), explain(ValueError()), explain(ValueError("\\x1b[31mbad\\x1b[0m size.\\nMore."))
    ("KeyError: 'x'", 'ValueError', 'bad size')
    """
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        if isinstance(link, CnngraphError):
            return link.message.rstrip(".")
        chain.append(link)
        link = link.__cause__
    words = [(cause, _first_words(str(cause))) for cause in reversed(chain)]
    for cause, said in words:
        if " " in said and not isinstance(cause, KeyError):
            return said
    return next((f"{type(cause).__name__}: {said}" for cause, said in words if said), type(error).__name__)


def readable(text: str) -> str:
    """One line without colours and control signs, however another program wrote it."""
    plain = _ESCAPES.sub("", text)
    return " ".join("".join(sign if sign.isprintable() else " " for sign in plain).split())


def _first_words(text: str) -> str:
    """What is left of the first line that says more than advice; a line that ends in a colon goes on in the next."""
    for line in re.sub(r":\s*\n\s*", ": ", _ESCAPES.sub("", text)).splitlines():
        sentences = re.split(r"(?<=[.!?])\s+(?=[A-Z(])", readable(_OPERATOR.sub(r"\1", line)))
        said = " ".join(sentence for sentence in sentences if not _ADVICE.search(sentence)).rstrip(" .:!,")
        if any(sign.isalnum() for sign in said):
            return said if len(said) <= _LONGEST else f"{said[:_LONGEST]} ..."
    return ""


def listed(names: Iterable[str], word: str = "and") -> str:
    """Names as a sentence has them.

    >>> listed("abc"), listed("ab", "or"), listed("a")
    ('a, b and c', 'a or b', 'a')
    """
    *first, last = names
    return f"{', '.join(first)} {word} {last}" if first else last


def nearest(name: str, known: Iterable[str]) -> str:
    """The sentence 'Did you mean ...?' for a misspelt name, or the list of what is known.

    >>> nearest("degre", ["degree", "entropy"])
    'Did you mean degree?'
    >>> nearest("x", ["degree", "entropy"])
    'Known: degree, entropy.'
    """
    names = sorted(set(known))  # a module that is called twice is one name
    begun = [other for other in names if len(name) > 2 and other.startswith(name)]
    close = (begun or get_close_matches(name, names, n=3, cutoff=0.6))[:3]
    if close:
        return f"Did you mean {' or '.join(close)}?"
    if not names:
        return "There are none."
    shown = ", ".join(names[:20])
    return f"Known: {shown}{', ...' if len(names) > 20 else ''}."


_NAMED_OPTION = re.compile(r"\{(\w+)(?:=([^{}]*))?\}")
# Options whose flag is not simply their keyword.
_FLAGS = {"remove_layers": "--remove-layer", "remove_blocks": "--remove-block", "as_name": "--as"}


def name_options(text: str, *, flags: bool = False) -> str:
    """``text`` with the options in braces as Python's keywords, or as flags of the command line.

    >>> name_options("{remove=0} removes nothing."), name_options("{remove=0} removes nothing.", flags=True)
    ('remove=0 removes nothing.', '--remove 0 removes nothing.')
    """

    def named(found: re.Match[str]) -> str:
        name, value = found.groups()
        if not flags:
            return name if value is None else f"{name}={value}"
        flag = _FLAGS.get(name, f"--{name.replace('_', '-')}")
        if value in ("True", "False"):  # a switch: retrain=False is --no-retrain
            return flag if value == "True" else f"--no-{flag[2:]}"
        return flag if value is None else f"{flag} {value}"

    return _NAMED_OPTION.sub(named, text)


def for_command(error: CnngraphError) -> tuple[str, str]:
    """Message and hint of ``error`` in the words of the command line, also where somebody has added to them."""
    if not isinstance(error, OptionError | PlanError):
        return error.message, error.hint
    said = zip((error.message, error.hint), error.templates, strict=True)
    message, hint = (
        text.replace(name_options(template), name_options(template, flags=True)) if template else text
        for text, template in said
    )
    return message, hint
