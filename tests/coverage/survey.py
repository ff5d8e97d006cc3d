"""One net, every kind of removal: how much of it can go, and whether what is left works."""

from __future__ import annotations

import copy
import gc
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import cnngraph as cg
from cnngraph import plan_filters
from cnngraph.errors import CnngraphError
from cnngraph.network.blocks import find_blocks
from cnngraph.network.graph import follow
from cnngraph.plan import Plan, Removal
from cnngraph.surgery.apply import cut
from cnngraph.surgery.channels.coupling import Coupling, coupled
from cnngraph.surgery.channels.filter_scores import magnitude
from cnngraph.surgery.channels.masked import masked
from cnngraph.surgery.check import removable, removable_blocks, resolve
from cnngraph.surgery.layers.apply_edits import apply_edits
from cnngraph.surgery.layers.list_edits import list_edits
from cnngraph.surgery.layers.net_structure import read_structure
from cnngraph.surgery.output_diff import output_diff
from cnngraph.surgery.verify import state_hash
from tests.coverage.nets import CLASSES, build_net, input_shape

__all__ = ["CHECKS", "KINDS", "Cell", "Row", "survey"]

KINDS = ("filters", "convs", "blocks")
CHECKS = ("eval", "train", "export", "save_load")
RATIO = 0.3
_BATCH = 2  # of the forward and backward passes; the norms of a 1 x 1 map need two images
_PROOF_BATCH = 8  # with which slim and masked net are compared
_PROOF = "the whole net"
_EXPORT_TOLERANCE = 1e-4  # of the largest logit
_AWAKE = 1e-3  # of the largest logit: by as much at least those of two images differ


@dataclass
class Cell:
    """How many of ``total`` removals hold, and one sentence for each of the others."""

    passed: int = 0
    total: int = 0
    reasons: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.passed}/{self.total}"

    def count(self, what: str, failure: str, times: int = 1) -> None:
        """Note that ``what`` holds (``failure`` is ""), or why it does not."""
        self.total += times
        if failure:
            self.reasons[what] = failure
        else:
            self.passed += times


@dataclass
class Row:
    """What was found of one net.

    Attributes:
        cells: by kind of removal and check. refused: removals that surgery refuses, with its reason: not failures.
        difference: largest relative difference between slim and masked net in float64, over eval and train mode.
        seconds: all of it took. surgery_seconds: the slowest single removal took. peak_mb: memory of the process.
    """

    net: str
    input_shape: tuple[int, int, int]
    parameters: int
    cells: dict[tuple[str, str], Cell]
    refused: dict[str, str] = field(default_factory=dict)
    difference: float | None = None
    seconds: float = 0.0
    surgery_seconds: float = 0.0
    peak_mb: float = 0.0

    @property
    def failures(self) -> dict[str, str]:
        """What should have worked, by check and removal."""
        found: dict[str, str] = {}
        for (kind, check), cell in self.cells.items():
            found |= {
                f"{kind} {check} {what}": reason for what, reason in cell.reasons.items() if what not in self.refused
            }
        return found


def survey(name: str, *, kinds: Collection[str] = KINDS, samples: int = 3, exported: bool = True) -> Row:
    """Cut the net ``name`` in every way and check what is left.

    Every conv and every block goes once, alone; of filters the lowest :data:`RATIO` of each layer by magnitude.

    Args:
        kinds: of removals.
        samples: how many convs are also exported, saved, and loaded in a new process (and one block and one filter
            plan, if any).
        exported: ``False`` leaves ``torch.export`` out.
    """
    began = time.perf_counter()
    model, shape = build_net(name), input_shape(name)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    row = Row(name, shape, parameters, {(kind, check): Cell() for kind in KINDS for check in CHECKS})
    _Survey(model, row, kinds, samples, exported).run()
    row.seconds = time.perf_counter() - began
    row.peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return row


class _Survey:
    def __init__(self, model: nn.Module, row: Row, kinds: Collection[str], samples: int, exported: bool) -> None:
        self.model, self.row, self.kinds, self.samples, self.exported = model, row, kinds, samples, exported
        generator = torch.Generator().manual_seed(0)
        self.images = torch.randn(_BATCH, *row.input_shape, generator=generator)
        self.unused = _without_gradient(copy.deepcopy(model), self.images)

    def run(self) -> None:
        self._require_awake()
        before = state_hash(self.model)
        graph = follow(self.model, self.row.input_shape)
        self.structure = read_structure(self.model, self.row.input_shape)
        convs = {name: reason for name, reason in removable(graph).items() if "#" not in name}
        stages = {block.name for block in find_blocks(graph) if block.kind == "stage"}  # these are only replaced
        blocks = {name: reason for name, reason in removable_blocks(graph).items() if name not in stages}
        with TemporaryDirectory() as folder, _Elsewhere(Path(folder)) as elsewhere:
            for kind, found in (("convs", convs), ("blocks", blocks)):
                if kind not in self.kinds:
                    continue
                chosen = _spread([name for name, reason in found.items() if reason is None], self._samples(kind))
                for name, reason in found.items():
                    removal = Removal(layer=name, kind="block" if kind == "blocks" else "layer")
                    self._check(kind, name, reason, removal, elsewhere if name in chosen else None)
            if "filters" in self.kinds:
                self._filters(elsewhere)
            for kind, name, failure in elsewhere.failures():
                self.row.cells[kind, "save_load"].count(name, failure)
        if state_hash(self.model) != before:
            self.row.cells["filters", "eval"].count(_PROOF, "the net itself was changed")

    def _require_awake(self) -> None:
        """A net that gives every image the same would pass every comparison."""
        with torch.no_grad():
            one, other = self.model(self.images)
        apart = float((one - other).abs().max() / one.abs().max())
        if not apart >= _AWAKE:
            self.row.cells["filters", "eval"].count(_PROOF, f"the logits of two images differ by {apart:.1g} of them")

    def _samples(self, kind: str) -> int:
        return self.samples if kind == "convs" else 1

    def _check(self, kind: str, name: str, reason: str | None, removal: Removal, elsewhere: _Elsewhere | None) -> None:
        if reason is not None:
            self.row.refused[name] = reason
            for check in ("eval", "train"):
                self.row.cells[kind, check].count(name, reason)
            return
        plan = Plan(removes=(removal,), init="inherit")
        began = time.perf_counter()
        try:
            if elsewhere is not None:
                slim = cut(self.model, plan, input_shape=self.row.input_shape)
            else:  # the same, on the net that was followed once: following it takes most of the time
                slim = apply_edits(self.model, list_edits(resolve(self.structure, plan.removes)), seed=0)
        except CnngraphError as error:
            for check in ("eval", "train"):
                self.row.cells[kind, check].count(name, f"promised, but refused: {error.message}")
            return
        self.row.surgery_seconds = max(self.row.surgery_seconds, time.perf_counter() - began)
        self.row.cells[kind, "eval"].count(name, _attempt(lambda: self._eval(slim)))
        if elsewhere is not None:
            self._ship(kind, name, slim, elsewhere)
        self.row.cells[kind, "train"].count(name, _attempt(lambda: self._train(slim)))

    def _filters(self, elsewhere: _Elsewhere) -> None:
        """A plan for the whole net, and one for layers that it leaves whole since too many channels go together.

        A layer counts where it loses filters and the net equals the masked net.
        """
        coupling = coupled(self.model, self.row.input_shape)
        plan = plan_filters(coupling, magnitude(self.model, coupling), ratio=RATIO)
        self._check_filters(coupling, plan, elsewhere)
        left = self._left_over(coupling, plan.filters)
        if left:
            removes = tuple(Removal(layer=name, kind="filters", filters=gone) for name, gone in left.items())
            self._check_filters(coupling, Plan(removes=removes), None)
        for layer in coupling.layers:
            if layer not in plan.filters and layer not in left:
                self.row.refused[layer] = _why_it_stays(coupling, layer)
                for check in ("eval", "train"):
                    self.row.cells["filters", check].count(layer, self.row.refused[layer])

    def _check_filters(self, coupling: Coupling, plan: Plan, elsewhere: _Elsewhere | None) -> None:
        began = time.perf_counter()
        slim = cut(self.model, plan, input_shape=self.row.input_shape)
        self.row.surgery_seconds = max(self.row.surgery_seconds, time.perf_counter() - began)
        images = torch.randn(_PROOF_BATCH, *self.row.input_shape, generator=torch.Generator().manual_seed(1))
        found = output_diff(slim, masked(self.model, coupling, plan.filters), [images], [images])
        self.row.difference = max(self.row.difference or 0.0, found.relative)
        unequal = "" if found.relative <= 1e-9 else f"{found.relative:.3g} from the masked net"
        names = dict(slim.named_modules())
        for layer in plan.filters:
            width = int(names[layer].weight.shape[0])  # type: ignore[union-attr, arg-type]
            kept = coupling.layers[layer] - len(plan.filters[layer])
            wrong = unequal or ("" if width == kept else f"it has {width} filters instead of {kept}")
            self.row.cells["filters", "eval"].count(layer, wrong)
        failure = unequal or _attempt(lambda: self._eval(slim))
        if failure:
            self.row.cells["filters", "eval"].count(_PROOF, failure)
        if elsewhere is not None:
            self._ship("filters", f"{RATIO:.0%} of the filters", slim, elsewhere)
        failure = _attempt(lambda: self._train(slim))
        for layer in plan.filters:
            self.row.cells["filters", "train"].count(layer, failure)

    @staticmethod
    def _left_over(coupling: Coupling, taken: Mapping[str, Collection[int]]) -> dict[str, tuple[int, ...]]:
        """The smallest group of each layer that the plan left whole, as long as every layer keeps a filter."""
        wanted: dict[str, set[int]] = {}
        for group in sorted(coupling.groups, key=lambda group: len(group.filters)):
            layers = {layer for layer, _ in group.filters}
            if group.fixed or not layers or all(layer in taken or layer in wanted for layer in layers):
                continue
            after = {
                layer: wanted.get(layer, set()) | {c for name, c in group.filters if name == layer} for layer in layers
            }
            if all(len(gone) < coupling.layers[layer] for layer, gone in after.items()):
                wanted |= after
        return {layer: tuple(sorted(wanted[layer])) for layer in coupling.layers if layer in wanted}

    def _ship(self, kind: str, name: str, slim: nn.Module, elsewhere: _Elsewhere) -> None:
        slim.eval()
        if self.exported:
            self.row.cells[kind, "export"].count(name, _attempt(lambda: self._export(slim)))
        failure = _attempt(lambda: elsewhere.add(kind, name, slim, self.images))
        if failure:
            self.row.cells[kind, "save_load"].count(name, failure)

    def _eval(self, slim: nn.Module) -> None:
        with torch.no_grad():
            logits = slim.eval()(self.images)
        assert logits.shape == (_BATCH, CLASSES), f"the logits have shape {tuple(logits.shape)}"
        assert bool(torch.isfinite(logits).all()), "the logits are not finite"
        assert str(slim) != str(self.model), "nothing was removed"

    def _train(self, slim: nn.Module) -> None:
        missing = _without_gradient(slim, self.images) - self.unused
        assert not missing, f"{min(missing)} gets no gradient"
        for name, parameter in slim.named_parameters():
            finite = parameter.grad is None or bool(torch.isfinite(parameter.grad).all())
            assert finite, f"the gradient of {name} is not finite"

    def _export(self, slim: nn.Module) -> None:
        with torch.no_grad():
            found = torch.export.export(slim, (self.images,)).module()(self.images)
            wanted = slim(self.images)
        assert (found - wanted).abs().max() <= _EXPORT_TOLERANCE * wanted.abs().max(), (
            "the exported net's logits differ"
        )


class _Elsewhere:
    """Saved nets that one new process loads, all of them, when everything else is done."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._saved: list[tuple[str, str]] = []

    def __enter__(self) -> _Elsewhere:
        return self

    def __exit__(self, *_: object) -> None:
        self._saved.clear()

    def add(self, kind: str, name: str, slim: nn.Module, images: Tensor) -> None:
        """Save ``slim`` with the logits that it gives for ``images``."""
        place = self.folder / str(len(self._saved))
        cg.save(slim, place / "net", input_shape=tuple(images.shape[1:]))
        with torch.no_grad():
            save_file({"images": images, "logits": slim(images).contiguous()}, place / "logits.safetensors")
        self._saved.append((kind, name))

    def failures(self) -> Iterator[tuple[str, str, str]]:
        """(kind, name, what is wrong or "") of each, from a new process."""
        if not self._saved:
            return
        root = Path(__file__).resolve().parents[2]
        done = subprocess.run(
            [sys.executable, "-m", "tests.coverage.elsewhere", str(self.folder), str(torch.get_num_threads())],
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
            check=False,
        )
        last = (done.stderr.strip().splitlines() or [""])[-1]
        found = json.loads(done.stdout) if done.returncode == 0 else {}
        for place, (kind, name) in enumerate(self._saved):
            yield kind, name, found.get(str(place), f"the new process failed: {last}")


def _attempt(check: Callable[[], None]) -> str:
    """What is wrong, in a line, or ""; a survey counts what fails and goes on."""
    try:
        check()
    except Exception as error:  # noqa: BLE001 (whatever a net may raise is a finding)
        gc.collect()
        return (str(error).strip() or type(error).__name__).splitlines()[0]
    return ""


def _without_gradient(net: nn.Module, images: Tensor) -> set[str]:
    """One training step of ``net``, of all its heads; the parameters that it left without a gradient."""
    outputs = net.train()(images)
    heads = [outputs] if isinstance(outputs, Tensor) else [head for head in outputs if isinstance(head, Tensor)]
    labels = torch.arange(len(images))
    torch.autograd.backward(sum(nn.functional.cross_entropy(head, labels) for head in heads))
    return {name for name, parameter in net.named_parameters() if parameter.grad is None}


def _why_it_stays(coupling: Coupling, layer: str) -> str:
    reasons = {group.fixed for group in coupling.groups if any(name == layer for name, _ in group.filters)}
    return "; ".join(sorted(reasons - {""})) or "all of its filters go together"


def _spread(names: list[str], number: int) -> set[str]:
    """``number`` names from the beginning, the middle and the end."""
    if len(names) <= number:
        return set(names)
    step = (len(names) - 1) / max(number - 1, 1)
    return {names[round(place * step)] for place in range(number)} if number > 1 else {names[len(names) // 2]}
