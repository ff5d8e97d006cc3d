"""Which tensors of a checkpoint are the weights of a net: found by comparing names and shapes, not by known words.

Whatever lies nested in a file, and whatever stood around the net when it was trained, is a prefix of dotted names here:
``{"state_dict": {"model.conv.weight": ...}}`` holds ``state_dict.model.conv.weight``. The weights are what one prefix
makes the net's own names of.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cnngraph.errors import ModelError, NotFoundError, nearest
from cnngraph.models.averages import averaged, words_of

__all__ = ["COUNTER", "Chosen", "choose", "flatten"]

# What parallel training, torch.compile and recomputation put between the names of a net.
_WRAPPERS = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module"}
COUNTER = "num_batches_tracked"  # files from before torch 0.4.1 lack it; batch norm does not need it
_STEPS = "n_averaged"  # how often torch's AveragedModel was updated
_PROFILED = ("total_ops", "total_params")  # what a profiler (thop) registers in every module
_OPTIMISERS = {"optimizer", "optimizers", "optim", "optimiser", "optimisers"}
_DEEPEST, _MOST = 16, 200_000  # nesting and entries that are looked at: a file may hold itself
_TRIED = 16
_NAMED = 5


@dataclass(frozen=True)
class Chosen:
    """The weights of a net: ``tensors`` by the net's own names, and ``notes`` on what else the file holds."""

    tensors: dict[str, Tensor]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Candidate:
    """What the names under ``prefix`` are to the net: how many fit, are there in another shape, and lack."""

    prefix: str
    fits: int
    misshapen: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def whole(self) -> bool:
        return not self.misshapen and not self.missing

    @property
    def key(self) -> str:
        return self.prefix.rstrip(".") or "."


def flatten(content: object) -> dict[str, Tensor]:
    """Every tensor in nested mappings and lists by its dotted name; everything else is left out."""
    found: dict[str, Tensor] = {}
    for seen, (name, value) in enumerate(_entries(content, "", 0)):
        if seen > _MOST:
            raise ModelError(f"It nests more than {_MOST:,} entries.", "Save the net's state dict alone.")
        if isinstance(value, Tensor):
            found.setdefault(name, value)
    return found


def _entries(content: object, prefix: str, depth: int) -> Iterator[tuple[str, object]]:
    if depth > _DEEPEST:
        return
    items: Any = ()
    if isinstance(content, Mapping):
        items = content.items()
    elif isinstance(content, list | tuple) and any(isinstance(one, Mapping | Tensor) for one in content):
        items = enumerate(content)
    for key, value in items:
        name = f"{prefix}{key}"
        yield name, value
        yield from _entries(value, f"{name}.", depth + 1)


def choose(
    tensors: Mapping[str, Tensor],
    own: Mapping[str, Tensor],
    *,
    where: str,
    tied: Sequence[Sequence[str]] = (),
    head: tuple[str, ...] = (),
    key: str | None = None,
) -> Chosen:
    """The weights of a net with the state dict ``own`` among the ``tensors`` of a file.

    Where no prefix gives all of them, those of the prefix that gives most are handed on as they are, extra ones
    included: :func:`cnngraph.models.weights.fit_weights` says what does not fit.

    Args:
        where: names the file in messages.
        tied: names of the net that hold one and the same tensor: one of them will do.
        head: beginnings of names that need not be there.
        key: what the names of the weights begin with, where the file holds several sets; ``.``: nothing.

    Raises:
        NotFoundError: no name begins with ``key``.
        ModelError: the file holds several whole sets, none of which is the average of another.
    """
    wanted = _wanted(own, tied, head)
    named = dict(tensors) if key is None else _under(tensors, key, own, wanted, where)
    candidates = _candidates(named, own, wanted)
    if not any(one.whole for one in candidates):
        bare = _without_wrappers(named, own)
        named, candidates = bare, _candidates(bare, own, wanted)
    whole = _different([one for one in candidates if one.whole], named, own)
    if key is not None:  # named exactly: what lies deeper is something else
        whole = [one for one in whole if not one.prefix] or whole
    notes: list[str] = []
    if whole:
        best = _preferred(whole, where)
        others = [one.key for one in whole if one is not best]
        if others:
            notes.append(
                f"{where}: took {best.key}, the averaged weights; {' and '.join(others)} "
                f"{'is' if len(others) == 1 else 'are'} there too: --weights-key {others[0]}"
            )
    elif candidates:
        best = candidates[0]
    else:
        return Chosen(named)
    mine, left = _parted(named, own, best.prefix, [one.prefix for one in candidates if one.whole])
    if left and best.whole:
        notes.append(f"{where}: left over {'is' if len(left) == 1 else 'are'} {_listed(left)}.")
    return Chosen(mine, tuple(notes))


def _wanted(own: Mapping[str, Tensor], tied: Sequence[Sequence[str]], head: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Groups of names of which one must be there."""
    groups = {name: tuple(names) for names in tied for name in names}
    names = [name for name in own if not name.endswith(COUNTER) and not (head and name.startswith(head))]
    return list(dict.fromkeys(groups.get(name, (name,)) for name in names))


def _under(
    tensors: Mapping[str, Tensor],
    key: str,
    own: Mapping[str, Tensor],
    wanted: list[tuple[str, ...]],
    where: str,
) -> dict[str, Tensor]:
    """The tensors whose names begin with ``key``, without it; what stands before it may be left out where it is one."""
    if key in ("", "."):
        return dict(tensors)
    for names in (tensors, _without_wrappers(tensors, own)):
        for prefix in (f"{key.rstrip('.')}.", *_before(names, f"{key.rstrip('.')}.")):
            found = {name.removeprefix(prefix): value for name, value in names.items() if name.startswith(prefix)}
            if found:
                return found
    there = [one.key for one in _candidates(tensors, own, wanted)]
    there = there or sorted({name.rpartition(".")[0].partition(".")[0] or name for name in tensors})
    raise NotFoundError(f"{where} holds no weights under {key!r}.", nearest(key, there))


def _before(names: Mapping[str, Tensor], key: str) -> list[str]:
    """``key`` with what stands before it in ``names``, where that is the same everywhere."""
    found = {name[: name.index(f".{key}") + 1 + len(key)] for name in names if f".{key}" in name}
    return list(found) if len(found) == 1 else []


def _candidates(
    named: Mapping[str, Tensor], own: Mapping[str, Tensor], wanted: list[tuple[str, ...]]
) -> list[_Candidate]:
    """The prefixes under which names of the net are, those first that give most of it."""
    names = {name for group in wanted for name in group}
    counts: Counter[str] = Counter()
    for full in named:
        parts = full.split(".")
        for begin in range(len(parts)):
            if (rest := ".".join(parts[begin:])) in names:
                counts[full[: len(full) - len(rest)]] += 1
    likely = [prefix for prefix, _ in counts.most_common(_TRIED) if not words_of(prefix) & _OPTIMISERS]
    found = [_candidate(prefix, named, own, wanted) for prefix in likely]
    return sorted(found, key=lambda one: (-one.fits, len(one.missing), len(one.prefix)))


def _candidate(
    prefix: str, named: Mapping[str, Tensor], own: Mapping[str, Tensor], wanted: list[tuple[str, ...]]
) -> _Candidate:
    missing, misshapen, fits = [], [], 0
    for group in wanted:
        name = next((one for one in group if prefix + one in named), None)
        if name is None:
            missing.append(group[0])
        elif named[prefix + name].shape != own[name].shape:
            misshapen.append(name)
        else:
            fits += 1
    return _Candidate(prefix, fits, tuple(misshapen), tuple(missing))


def _different(whole: list[_Candidate], named: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> list[_Candidate]:
    """``whole`` without those that hold the very same values as one before."""
    kept: list[_Candidate] = []
    for one in sorted(whole, key=lambda one: len(one.prefix)):
        if not any(_same(one.prefix, other.prefix, named, own) for other in kept):
            kept.append(one)
    return kept


def _same(one: str, other: str, named: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> bool:
    pairs = ((named.get(one + name), named.get(other + name)) for name in own)
    return all(a is b or (a is not None and b is not None and _equal(a, b)) for a, b in pairs)


def _equal(a: Tensor, b: Tensor) -> bool:
    try:
        return a.dtype == b.dtype and a.shape == b.shape and bool(torch.equal(a, b))
    except (RuntimeError, NotImplementedError):  # no values (meta), or of a layout that cannot be compared
        return False


def _preferred(whole: list[_Candidate], where: str) -> _Candidate:
    """The averaged weights among several sets, or the only one; raises ModelError where it is not clear."""
    place = averaged([one.prefix for one in whole]) if len(whole) > 1 else 0
    if place is not None:
        return whole[place]
    keys = [one.key for one in whole]
    raise ModelError(
        f"{where} holds {len(keys)} sets of weights of this net: {', '.join(keys)}.",
        f"Say which: --weights-key {keys[0]}",
    )


def _without_wrappers(named: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``named`` without the names of wrappers inside; those that the net has itself, or would make two one, stay."""
    foreign = _WRAPPERS - {part for name in own for part in name.split(".")}
    bare = {name: ".".join(part for part in name.split(".") if part not in foreign) for name in named}
    counts = Counter(bare.values())
    return {(bare[name] if counts[bare[name]] == 1 else name): value for name, value in named.items()}


def _parted(
    named: Mapping[str, Tensor], own: Mapping[str, Tensor], prefix: str, others: list[str]
) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors under ``prefix`` by the net's own names, with those that make it another net, and what is left."""
    mine: dict[str, Tensor] = {}
    left: list[str] = []
    further = tuple(other for other in others if other and other != prefix)
    children = {name.partition(".")[0] for name in own}
    for name, value in named.items():
        rest = name.removeprefix(prefix)
        inside = name.startswith(prefix)
        if inside and rest in own:
            mine[rest] = value
        elif further and name.startswith(further):
            continue
        elif inside and _belongs(rest, value, named, prefix, own, children):
            mine[rest] = value
        elif not words_of(name) & _OPTIMISERS and not name.endswith(_STEPS):
            left.append(name)
    return mine, sorted(left)


def _belongs(
    rest: str,
    value: Tensor,
    named: Mapping[str, Tensor],
    prefix: str,
    own: Mapping[str, Tensor],
    children: set[str],
) -> bool:
    """Whether a tensor that the net lacks says that another net was saved: the net would compute something else.

    Counters, indices and what a profiler left are none. Beside the net's own modules lie losses and metrics; a layer
    there is one of another net, unless its names are the net's own: that is a further set, not a whole one.
    """
    if not value.is_floating_point() or rest.endswith(_PROFILED):
        return False
    module = rest.rpartition(".")[0]
    if not module or rest.partition(".")[0] in children:
        return True
    if any(rest[at + 1 :] in own for at in range(len(rest)) if rest[at] == "."):
        return False
    weight = named.get(f"{prefix}{module}.weight")  # of a loss: one value a class
    matrix = weight is not None and weight.dim() > 1
    return matrix or any(f"{prefix}{module}.{name}" in named for name in ("bias", "running_mean"))


def _listed(names: list[str]) -> str:
    """Few names in full, many by what they begin with."""
    if len(names) <= _NAMED:
        return ", ".join(names)
    groups = Counter(name.partition(".")[0] for name in names)
    shown = [f"{group} ({count} tensors)" if count > 1 else group for group, count in groups.items()]
    return ", ".join(shown[:_NAMED]) + (f" and {len(shown) - _NAMED} more" if shown[_NAMED:] else "")
