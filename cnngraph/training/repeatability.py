"""Whether a net gives the same logits for the same images twice, and whether an image's depend on its batch.

A net that draws random numbers in eval mode too (``F.dropout`` that nobody switches off, noise, a path dropped by
hand), or that counts its calls, has no one answer: no figure of it can be repeated, and nothing can be proven equal to
it.
"""

from __future__ import annotations

import copy
import linecache
import pickle
import random
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from cnngraph.models.outputs import tensors_of
from cnngraph.models.tensor_bytes import tensor_bytes
from cnngraph.models.wrappers import unwrapped
from cnngraph.modes import evaluation_mode
from cnngraph.randomness import seeded
from cnngraph.training.execution import image_type

__all__ = ["Repeatability", "repeatability"]

_RUNS = 3
_RUNS_OF_CHANCE = 64  # where random numbers were drawn without effect so far: a path may be dropped one time in ten
_ROUNDINGS = 8.0  # of the largest value: sums in another order are no other answer
_OF_THE_BATCH = 1e-3  # of the largest value: kernels for other batch sizes round otherwise, by far less
_TORCH = str(Path(torch.__file__).parent)
_CODE = 100  # letters of a line of code that are shown
_NORMS = ("batch_norm", "instance_norm")


@dataclass(frozen=True)
class Repeatability:
    """What several runs in eval mode on the same images showed.

    Attributes:
        random: why the outputs differ from run to run, with the line of code; "" where they do not.
        batch: why the outputs of an image depend on the other images of its batch, likewise.
    """

    random: str = ""
    batch: str = ""


def repeatability(model: nn.Module, images: Tensor) -> Repeatability:
    """Run a copy of ``model`` in eval mode several times on ``images`` (N, channels, height, width), four at least.

    A net that cannot be copied or does not take the images is taken for sound: others say what is wrong with it. The
    random states of torch, NumPy and Python stay as they were.
    """
    try:
        net = copy.deepcopy(unwrapped(model))
        place = next((weight.device for weight in net.parameters()), torch.device("cpu"))
        pictures = images.to(place, image_type(net))
        with evaluation_mode(net), torch.no_grad(), _kept_random_states():
            first = tensors_of(net(pictures))
            if _differs_between_runs(net, pictures, first):
                return Repeatability(random=_first_difference(net, pictures))
            if _depends_on_batch(net, pictures, first):
                return Repeatability(batch=_norm_of_the_batch(net, pictures))
    except Exception:  # noqa: BLE001 (whatever the user's code raises)
        return Repeatability()
    return Repeatability()


@contextmanager
def _kept_random_states() -> Iterator[None]:
    """Inside, every generator starts anew, so that what is found is found each time."""
    ours, numpys = random.getstate(), np.random.get_state()
    try:
        random.seed(0)
        np.random.seed(0)
        with seeded(0):
            yield
    finally:
        random.setstate(ours)
        np.random.set_state(numpys)


def _random_states() -> list[bytes]:
    """Of all generators that a net may draw from without one of its own."""
    torchs = [torch.get_rng_state()]
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torchs += torch.cuda.get_rng_state_all()
    return [pickle.dumps(random.getstate()), pickle.dumps(np.random.get_state())] + [
        state.numpy().tobytes() for state in torchs
    ]


def _differs_between_runs(net: nn.Module, images: Tensor, first: dict[str, Tensor]) -> bool:
    before = _random_states()
    if not _same(first, tensors_of(net(images))):
        return True
    runs = _RUNS if before == _random_states() else _RUNS_OF_CHANCE
    return any(not _same(first, tensors_of(net(images))) for _ in range(runs - 2))


def _same(one: dict[str, Tensor], other: dict[str, Tensor], share: float | None = None) -> bool:
    """Whether two outputs are equal but for ``share`` of the largest value (default: some roundings)."""
    if one.keys() != other.keys():
        return False
    for name, first in one.items():
        second = other[name]
        if first.shape != second.shape:
            return False
        if not first.is_floating_point():
            if not torch.equal(first, second):
                return False
            continue
        a, b = first.double(), second.double()
        allowed = (_ROUNDINGS * torch.finfo(first.dtype).eps if share is None else share) * float(
            a.abs().nan_to_num().max()
        )
        if not torch.allclose(a, b, rtol=0, atol=allowed, equal_nan=True):
            return False
    return True


def _depends_on_batch(net: nn.Module, images: Tensor, first: dict[str, Tensor]) -> bool:
    half = len(images) // 2
    whole = {name: one[:half] for name, one in first.items() if one.ndim and len(one) == len(images)}
    part = {name: one for name, one in tensors_of(net(images[:half])).items() if name in whole}
    return not _same(whole, part, _OF_THE_BATCH)


@dataclass(frozen=True)
class _Step:
    """One operation of a run: its name, the user's line, whether it draws random numbers, a digest of what it gave."""

    name: str
    line: str
    draws: bool
    digest: int


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Keeps every operation of a run in order."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.steps: list[_Step] = []
        self.of_the_batch: _Step | None = None

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        name = str(func.overloadpacket.__name__)
        draws = torch.Tag.nondeterministic_seeded in func.tags
        given = {} if "empty" in name else tensors_of(found)  # memory that nobody has written to yet is no value
        step = _Step(name, _users_line(), draws, hash(tuple(_digest(one) for one in given.values())))
        self.steps.append(step)
        # `training` is the sixth argument of aten's norms over a batch.
        if self.of_the_batch is None and any(norm in name for norm in _NORMS) and len(args) > 5 and args[5] is True:
            self.of_the_batch = step
        return found


def _digest(tensor: Tensor) -> int:
    return hash(tensor_bytes(tensor).tobytes())


def _users_line() -> str:
    """``file:line`` of the innermost code of the net that is not torch's own; "" where all is."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and frame.f_code.co_filename != __file__:
        if not frame.f_code.co_filename.startswith(_TORCH):
            return f"{frame.f_code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


def _recorded(net: nn.Module, images: Tensor) -> _Recorder:
    recorder = _Recorder()
    with recorder:
        net(images)
    return recorder


def _first_difference(net: nn.Module, images: Tensor) -> str:
    """In words what makes two runs differ first."""
    try:
        first = _recorded(net, images).steps
        for _ in range(_RUNS_OF_CHANCE):
            second = _recorded(net, images).steps
            for one, other in zip(first, second, strict=False):
                if one != other:
                    return _in_words(one)
            if len(first) != len(second):
                return _in_words(max(first, second, key=len)[min(len(first), len(second))])
    except Exception:  # noqa: BLE001 (what cannot be recorded has no line)
        return "something in its forward that cannot be told"
    return "something in its forward that cannot be told"


def _in_words(step: _Step) -> str:
    if step.draws:
        return f"random numbers are drawn ({step.name.rstrip('_')}){_place(step)}"
    return f"a random number, or a state that each call changes, comes in ({step.name.rstrip('_')}){_place(step)}"


def _place(step: _Step) -> str:
    """Where the user's code does it, with the line itself."""
    if not step.line:
        return ""
    file, _, number = step.line.rpartition(":")
    code = textwrap.shorten(linecache.getline(file, int(number)), _CODE, placeholder=" ...")
    return f" at {step.line}" + (f": {code}" if code else "")


def _norm_of_the_batch(net: nn.Module, images: Tensor) -> str:
    try:
        step = _recorded(net, images).of_the_batch
    except Exception:  # noqa: BLE001 (what cannot be recorded has no line)
        step = None
    return (
        f"a norm takes the statistics of the batch{_place(step)}" if step else "its forward mixes the images of a batch"
    )
