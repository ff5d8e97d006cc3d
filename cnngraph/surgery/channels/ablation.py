"""Which images a classifier gets right without one more group of coupled channels, and which group it misses least.

The answers are those of a naive loop over the groups (a whole run of the masked net for each), found faster: see
:mod:`cnngraph.surgery.channels.tail`. Where rounding could decide, that is where the two best logits of an image are
nearer than :data:`NEAR` of the largest, the image is run through the whole masked net. Nets that cannot be split, or
whose tail is seen to answer otherwise (what an image gives hangs on its batch, say), are run whole throughout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from cnngraph.models.outputs import logits_of
from cnngraph.modes import evaluation_mode
from cnngraph.surgery.channels.coupling import Coupling, Group
from cnngraph.surgery.channels.masked import masked
from cnngraph.surgery.channels.tail import CannotSplitError, Head, Tail, exact_products

__all__ = ["MEMORY", "NEAR", "AblatedNet", "Ablation", "Batches", "Right"]

NEAR = 1e-4
MEMORY = 2**31
_FEW = 16  # images of a group on which the tail is compared with a whole run
_ROUNDS = 8  # into which the images are divided while candidates drop out
Batches = Callable[[], Iterable[tuple[Tensor, Tensor]]]  # (images, labels), the same at every call
Right = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.int64]
Logits = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Part:
    """Some images, what the net answers, and, where it can be split, their head."""

    images: Tensor
    labels: Numbers
    logits: Logits
    head: Head | None

    @property
    def bytes(self) -> int:
        tensors = [self.images, *(self.head.values.values() if self.head else ())]
        return sum(one.nelement() * one.element_size() for one in tensors if isinstance(one, Tensor))

    def active(self, group: Group) -> Numbers:
        """The numbers of the images in which the group gives anything to its readers."""
        if self.head is None:
            return np.arange(len(self.labels))
        return np.flatnonzero(self.head.active[group.index])


@dataclass
class _Race:
    """What is known of one candidate: images still to run, and how many are right at least."""

    group: Group
    place: int
    right: Right
    open: Right = field(repr=False)

    @property
    def least(self) -> int:
        return int((self.right & ~self.open).sum())

    @property
    def most(self) -> int:
        return self.least + int(self.open.sum())

    def loses_to(self, other: _Race) -> bool:
        return self.most < other.least or (self.most == other.least and self.place > other.place)


@dataclass
class AblatedNet:
    """A net and what was ablated in it for good.

    Attributes:
        net: a copy of the user's net, on the device where it runs; it is changed. coupling: of it.
        gone: the filters, by layer. plain: whether zeros in the weights of the net are all of it; where a norm across
            channels sees the surviving ones only, the masked net has to be made anew for each run.
    """

    net: nn.Module
    coupling: Coupling
    gone: dict[str, set[int]] = field(default_factory=dict)
    plain: bool = True

    def remove(self, group: Group, *, plainly: bool) -> None:
        """Ablate ``group``; ``plainly``: by zeros in the weights that read it."""
        for layer, channel in group.filters:
            self.gone.setdefault(layer, set()).add(channel)
        self.plain &= plainly
        if plainly:
            with torch.no_grad():
                for weight, axis, rows in self.read_weights(group):
                    weight.index_fill_(axis, rows, 0)

    @contextmanager
    def without(self, group: Group) -> Iterator[nn.Module]:
        """The net with zeros where weights read ``group``, for a while."""
        before = [
            (weight, axis, rows, weight.index_select(axis, rows)) for weight, axis, rows in self.read_weights(group)
        ]
        try:
            with torch.no_grad():
                for weight, axis, rows, _ in before:
                    weight.index_fill_(axis, rows, 0)
            yield self.net
        finally:
            with torch.no_grad():
                for weight, axis, rows, values in before:
                    weight.index_copy_(axis, rows, values)

    def masked(self, group: Group | None = None) -> nn.Module:
        """A copy without ``group`` and what went before, right for every net."""
        gone: dict[str, set[int]] = {layer: set(channels) for layer, channels in self.gone.items()}
        for layer, channel in group.filters if group else ():
            gone.setdefault(layer, set()).add(channel)
        return masked(self.net, self.coupling, gone) if gone else self.net

    def read_weights(self, group: Group) -> list[tuple[Tensor, int, Tensor]]:
        """The weights by which layers read ``group``: (tensor, axis, numbers along it)."""
        classes, outputs = self.coupling.classes, self.coupling.dependencies.outputs
        layer, channel = group.filters[0]
        mine = classes[outputs[layer][channel]]
        found = []
        for axis in self.coupling.dependencies.axes.values():
            rows = np.flatnonzero(classes[axis.labels] == mine) if axis.reads else ()
            if len(rows):
                weight = getattr(self.net.get_submodule(axis.owner), axis.name)
                found.append((weight.detach(), axis.axis, torch.from_numpy(rows).to(weight.device)))
        return found


class Ablation:
    """What one net answers on one set of images without one more group, of which some may go for good.

    Args:
        ablated: the net. groups: those that may be ablated, in the order in which equals go.
        batches: the images that are judged on. classes: of the data.
        input_shape: (channels, height, width). batch: images of one run at most; memory grows with it.
        memory: bytes that may be kept of the images from group to group; what takes more is computed anew each time.
    """

    def __init__(
        self,
        ablated: AblatedNet,
        groups: Sequence[Group],
        batches: Batches,
        *,
        input_shape: tuple[int, int, int],
        classes: int | None = None,
        batch: int = 256,
        memory: int = MEMORY,
    ) -> None:
        self.groups = tuple(groups)
        self.ablated, self._batches = ablated, batches
        self._classes, self._batch, self._memory = classes, batch, memory
        self._weight = next(ablated.net.parameters())
        self._hopes: dict[int, int] = {}
        self._kept: _Part | None = None
        self._tail = self._split(input_shape)
        self._kept = self._keep()
        parts = list(self._summaries())
        self.labels: Numbers = np.concatenate([labels for labels, _ in parts])
        self.right: Right = np.concatenate([_right(logits, labels) for labels, logits in parts])

    @property
    def splits(self) -> bool:
        """Whether the net has a tail that runs apart; else every answer takes a whole run."""
        return self._tail is not None

    def right_without(self, groups: Sequence[Group]) -> list[Right]:
        """For each group, whether the net without it gives the class of each image: bool (images,)."""
        found = [self.right.copy() for _ in groups]
        start = 0
        for part in self._parts():
            asked = [(group, part.active(group)) for group in groups]
            for row, (_, numbers), right in zip(found, asked, self._right_of(part, asked), strict=True):
                row[start + numbers] = right
            start += len(part.labels)
        return found

    def choose(self, groups: Sequence[Group]) -> tuple[Group, Right]:
        """The group without which most images are right, of equals the first; and which are right then.

        Groups that can no longer win are not run on the rest of the images.
        """
        if self._kept is None or self._kept.head is None:
            rights = self.right_without(groups)
            best = max(range(len(groups)), key=lambda place: (int(rights[place].sum()), -place))
            return groups[best], rights[best]
        part = self._kept
        races = []
        for place, group in enumerate(groups):
            open_ones = np.zeros(len(self.right), dtype=bool)
            open_ones[part.active(group)] = True
            races.append(_Race(group, place, self.right.copy(), open_ones))
        first = max(races, key=lambda race: (self._hopes.get(race.group.index, race.least), -race.place))
        everything = np.arange(len(self.right))
        self._run([first], everything, part)
        leader, alive = first, [race for race in races if race is not first]
        for numbers in np.array_split(self._telling_first(part), _ROUNDS):
            alive = [race for race in alive if not race.loses_to(leader)]
            self._run(alive, numbers, part)
            leader = max([leader, *alive], key=lambda race: (race.least, -race.place))
        self._hopes = {race.group.index: race.most for race in races}
        return leader.group, leader.right

    def remove(self, group: Group) -> None:
        """Ablate ``group`` for good; :attr:`right` is of the net without it then."""
        part, tail = self._kept, self._tail
        simple = part is not None and part.head is not None and tail is not None and not tail.nested
        known = self._logits(part, [(group, np.arange(len(part.labels)))])[0] if part and simple else None
        self.ablated.remove(group, plainly=tail is not None)
        self.groups = tuple(one for one in self.groups if one.index != group.index)
        if part and part.head and tail and known is not None:
            self._kept = replace(part, logits=known, head=tail.refresh(part.head, known))
            self.right = _right(known, self.labels)
        else:
            self.renew()

    def renew(self) -> None:
        """Run everything anew, after something else was ablated in the net."""
        if not self.ablated.plain:  # what went is no longer in the weights alone, so that the net is run whole
            self._tail = None
        part, self._kept = self._kept, None
        if part is not None:
            self._kept = _joined([self._part(part.images[rows], part.labels[rows]) for rows in self._rows(part)])
        self.right = np.concatenate([_right(logits, labels) for labels, logits in self._summaries()])

    def _rows(self, part: _Part) -> Iterator[slice]:
        return (slice(start, start + self._batch) for start in range(0, len(part.labels), self._batch))

    def _split(self, input_shape: tuple[int, int, int]) -> Tail | None:
        try:
            ablated = self.ablated
            if not ablated.plain or not self.groups:
                return None
            tail = Tail(ablated.net, ablated.coupling, self.groups, input_shape, self._batch, self._classes)
            self._batch = tail.batch
            return tail if self._agrees(tail) else None
        except CannotSplitError:
            return None

    def _agrees(self, tail: Tail) -> bool:
        """Whether the tail answers as whole runs do, on a few images of a few groups mixed in one batch."""
        images, _ = next(iter(self._batches()))
        images = images[: self._batch].to(self._weight.device, self._weight.dtype)
        head = tail.head(images)
        some = [self.groups[place] for place in sorted({0, len(self.groups) // 2, len(self.groups) - 1})]
        count = max(1, min(_FEW, len(images), self._batch // len(some)))
        pairs = [(group, np.arange(len(images))[place :: len(some)][:count]) for place, group in enumerate(some)]
        for (group, numbers), found in zip(pairs, tail.without(head, pairs), strict=True):
            if len(numbers):
                with self.ablated.without(group) as net:
                    wanted = self._run_whole(net, images[torch.from_numpy(numbers)])
                if not np.allclose(found, wanted, rtol=0, atol=NEAR / 2 * max(1e-30, np.abs(wanted).max())):
                    return False
        return True

    def _keep(self) -> _Part | None:
        """All images in one part, where they fit into memory."""
        parts: list[_Part] = []
        for part in self._parts():
            parts.append(part)
            if 2 * sum(one.bytes for one in parts) > self._memory:  # joining takes as much again
                return None
        return _joined(parts)

    def _summaries(self) -> Iterator[tuple[Numbers, Logits]]:
        return ((part.labels, part.logits) for part in self._parts())

    def _parts(self) -> Iterator[_Part]:
        if self._kept is not None:
            yield self._kept
            return
        for images, labels in self._batches():
            for start in range(0, len(images), self._batch):
                rows = slice(start, start + self._batch)
                yield self._part(images[rows], labels[rows].numpy())

    def _part(self, images: Tensor, labels: Numbers) -> _Part:
        images = images.to(self._weight.device, self._weight.dtype)
        if self._tail is None:
            return _Part(images, labels, self._run_whole(self.ablated.masked(), images), None)
        head = self._tail.head(images)
        return _Part(images, labels, head.logits, head)

    def _run_whole(self, net: nn.Module, images: Tensor) -> Logits:
        with torch.inference_mode(), evaluation_mode(net), exact_products():
            answers = [
                logits_of(net(some), len(some), self._classes).values.double().cpu().numpy()
                for some in torch.split(images, self._batch)
            ]
        return np.concatenate(answers)

    def _telling_first(self, part: _Part) -> Numbers:
        """The images that are wrong already, then those that are right by the smallest margin."""
        return np.lexsort((_margin(part.logits), self.right))

    def _run(self, races: Sequence[_Race], numbers: Numbers, part: _Part) -> None:
        asked = [(race.group, numbers[race.open[numbers]]) for race in races]
        for race, (_, rows), right in zip(races, asked, self._right_of(part, asked), strict=True):
            race.right[rows] = right
            race.open[rows] = False

    def _right_of(self, part: _Part, asked: Sequence[tuple[Group, Numbers]]) -> list[Right]:
        answers = self._logits(part, asked)
        return [_right(logits, part.labels[numbers]) for (_, numbers), logits in zip(asked, answers, strict=True)]

    def _logits(self, part: _Part, asked: Sequence[tuple[Group, Numbers]]) -> list[Logits]:
        """What the net answers for some images of ``part`` without a group."""
        if self._tail is None or part.head is None:
            return [self._run_naively(group, part.images[torch.from_numpy(numbers)]) for group, numbers in asked]
        found = [np.empty((len(numbers), part.logits.shape[1])) for _, numbers in asked]
        for pieces in _packed([numbers for _, numbers in asked], self._batch):
            pairs = [(asked[place][0], asked[place][1][rows]) for place, rows in pieces]
            for (place, rows), logits in zip(pieces, self._tail.without(part.head, pairs), strict=True):
                found[place][rows] = logits
        for (group, numbers), logits in zip(asked, found, strict=True):
            near = np.flatnonzero(_margin(logits) < NEAR * np.abs(logits).max(axis=1, initial=0.0))
            if len(near):
                logits[near] = self._run_naively(group, part.images[torch.from_numpy(numbers[near])])
        return found

    def _run_naively(self, group: Group, images: Tensor) -> Logits:
        if not len(images):
            return np.empty((0, 1))
        if self._tail is not None:
            with self.ablated.without(group) as net:
                return self._run_whole(net, images)
        return self._run_whole(self.ablated.masked(group), images)


def _joined(parts: Sequence[_Part]) -> _Part:
    """Several parts as one."""
    if not parts:
        raise ValueError("there are no images")
    heads = [part.head for part in parts if part.head is not None]
    return _Part(
        torch.cat([part.images for part in parts]),
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.logits for part in parts]),
        _joined_heads(heads) if heads else None,
    )


def _joined_heads(heads: Sequence[Head]) -> Head:
    values = {}
    for node, value in heads[0].values.items():
        if isinstance(value, Tensor) and node in heads[0].of_image:
            value = torch.cat([head.values[node][: head.images] for head in heads])
        values[node] = value
    active = {index: np.concatenate([head.active[index] for head in heads]) for index in heads[0].active}
    logits = np.concatenate([head.logits for head in heads])
    return Head(values, logits, active, sum(head.images for head in heads), heads[0].of_image)


def _packed(lengths: Sequence[Numbers], batch: int) -> Iterator[list[tuple[int, slice]]]:
    """Pieces (place, slice of its numbers) in lots of at most ``batch`` numbers together."""
    lot: list[tuple[int, slice]] = []
    room = batch
    for place, numbers in enumerate(lengths):
        start = 0
        while start < len(numbers):
            count = min(room, len(numbers) - start)
            lot.append((place, slice(start, start + count)))
            start, room = start + count, room - count
            if not room:
                yield lot
                lot, room = [], batch
    if lot:
        yield lot


def _right(logits: Logits, labels: Numbers) -> Right:
    """Whether the largest logit, of equals the first, is that of the label."""
    if not len(logits):
        return np.zeros(0, dtype=bool)
    right: Right = logits.argmax(axis=1) == labels
    return right


def _margin(logits: Logits) -> npt.NDArray[np.float64]:
    """The largest logit less the second largest."""
    if not len(logits) or logits.shape[1] < 2:
        return np.full(len(logits), np.inf)
    best = np.partition(logits, -2, axis=1)
    margin: npt.NDArray[np.float64] = best[:, -1] - best[:, -2]
    return margin
