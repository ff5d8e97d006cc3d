"""One pass over a net past its gaps, on fake tensors: which shapes, passages and widths come out."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.utils import parametrize

from cnngraph.errors import PlanError
from cnngraph.network.symbolic import fake_tensors
from cnngraph.surgery.passage import conv_size, passage
from cnngraph.surgery.wound import SizeMismatchError, WidthMismatchError, Wound, label

__all__ = ["Fitter"]


class Fitter(fx.Interpreter):
    """One pass over fake tensors past the gaps; notes the shapes, passages and widths that come out."""

    def __init__(self, wound: Wound, *, exact: bool) -> None:
        super().__init__(wound.body.graph_module)
        self.wound = wound
        self.extra_traceback = False
        self.exact = exact
        self.shapes: dict[fx.Node, tuple[int, ...]] = {}
        self.passages: dict[str, nn.Module] = {}
        self.widths: dict[fx.Node, tuple[int, int]] = {}
        self._called: dict[str, tuple[int, int]] = {}

    def run_all(self) -> None:
        """Run it.

        Raises:
            PlanError, SizeMismatchError, WidthMismatchError: as the module says.
        """
        source = self.wound.body.nodes[0]
        weight = next(iter(self.wound.body.graph_module.parameters()))
        with torch.no_grad(), fake_tensors():
            self.run(torch.zeros(source.meta["shape"], device=weight.device, dtype=weight.dtype))

    def run_node(self, n: fx.Node) -> Any:
        if n in self.wound.skipped:
            return None
        if n in self.wound.bypassed:
            value = self.env[self.wound.bypassed[n]]
        else:
            self._compare_operands(n)
            value = self._step(n)
        if isinstance(value, Tensor):
            self.shapes[n] = tuple(value.shape)
            self._check_batch(n, value)
        return value

    def _step(self, node: fx.Node) -> Any:
        if node.op == "call_module":
            (x, *_), _ = self.fetch_args_kwargs_from_env(node)
            if isinstance(x, Tensor):
                known = self._call(node, x)
                if known is not None:
                    return known
        try:
            return super().run_node(node)
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            if node.target in ("view", "reshape", torch.reshape):
                raise SizeMismatchError(_stored_size(node)) from error
            what = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
            raise SizeMismatchError(f"{label(node)} does not take what it then gets ({what})") from error

    def _call(self, node: fx.Node, x: Tensor) -> Tensor | None:
        """The value of a module whose output is known without running it; ``None`` leaves it to the interpreter."""
        module = self.wound.body.module(node)
        if node in self.wound.convs:
            assert isinstance(module, nn.Conv2d)
            made = passage(module, (x.shape[2], x.shape[3]), exact=self.exact, copy=self._needs_copy(node))
            self.passages[str(node.target)] = made
            passed = made(x)
            assert isinstance(passed, Tensor)
            return passed
        if node in self.wound.silent:
            return x
        if isinstance(module, nn.Conv2d):
            return self._conv(node, module, x)
        if isinstance(module, nn.Linear):
            self._note_width(
                node, module, (module.in_features, module.out_features), (x.shape[-1], module.out_features)
            )
            return x.new_empty((*x.shape[:-1], module.out_features))
        width = getattr(module, "num_features", None) or getattr(module, "num_channels", None)
        if self.wound.body.is_norm(node) and isinstance(width, int):
            if width != x.shape[1] and node not in self.wound.norms:
                raise PlanError(
                    f"{self.wound.name} cannot go: the norm {node.target} "
                    f"would get {x.shape[1]} channels instead of {width}.",
                    "Remove other layers.",
                )
            return x.clone()
        return None

    def _conv(self, node: fx.Node, conv: nn.Conv2d, x: Tensor) -> Tensor:
        outputs = self.wound.widened[node][0] if node in self.wound.widened else conv.out_channels
        self._note_width(node, conv, (conv.in_channels, conv.out_channels), (x.shape[1], outputs))
        height, width = conv_size(conv, (x.shape[2], x.shape[3]))
        if min(height, width) < 1:
            raise SizeMismatchError(f"the map is too small for {node.target}")
        return x.new_empty((x.shape[0], outputs, height, width))

    def _note_width(self, node: fx.Node, module: nn.Module, before: tuple[int, int], after: tuple[int, int]) -> None:
        if self._called.setdefault(str(node.target), after) != after:
            raise PlanError(
                f"{self.wound.name} cannot go: {node.target} is called more than once and would get other widths.",
                "Remove other layers.",
            )
        if after == before:
            return
        if isinstance(module, nn.Conv2d) and module.groups != 1:
            raise PlanError(
                f"{self.wound.name} cannot go: {node.target} is a grouped conv "
                f"and would get {after[0]} channels instead of {before[0]}.",
                "Remove other layers.",
            )
        if self.wound.body.shares_weights(node):
            raise PlanError(
                f"{self.wound.name} cannot go: {node.target} shares its weights with another layer "
                "and would get other widths.",
                "Remove other layers, or give each a weight of its own.",
            )
        if parametrize.is_parametrized(module):
            raise PlanError(
                f"{self.wound.name} cannot go: {node.target} is parametrized and cannot be resized.",
                "Call torch.nn.utils.parametrize.remove_parametrizations first.",
            )
        self.widths[node] = after

    def _needs_copy(self, conv: fx.Node) -> bool:
        """Whether an operation that may work in place reads the gap's value itself (fx shows ``+=`` as ``+``)."""
        waiting = list(conv.users)
        while waiting:
            node = waiting.pop()
            if node in self.wound.silent or isinstance(
                self.wound.body.module(node), nn.Identity | nn.Dropout | nn.Dropout2d
            ):
                waiting.extend(node.users)
            elif node.op in {"call_function", "call_method"} or getattr(self.wound.body.module(node), "inplace", False):
                return True
        return False

    def _compare_operands(self, node: fx.Node) -> None:
        """Operands that had one shape must still have one; broadcasting must not hide a gap."""
        operands = [source for source in node.all_input_nodes if source in self.shapes]
        if len(operands) < 2 or getattr(node.target, "__name__", node.target) in {"cat", "concat", "concatenate"}:
            return
        if (
            len({source.meta["shape"] for source in operands}) != 1
            or len({self.shapes[source] for source in operands}) == 1
        ):
            return
        old = operands[0].meta["shape"]
        for source in operands:
            if self.shapes[source][1] != old[1]:
                raise WidthMismatchError(node, source, old[1])
        raise SizeMismatchError(f"the maps that meet in {label(node)} would have other sizes")

    def _check_batch(self, node: fx.Node, value: Tensor) -> None:
        before = node.meta.get("shape")
        batch = self.wound.body.nodes[0].meta["shape"][:1]
        if isinstance(before, tuple) and before[:1] == batch and tuple(value.shape[:1]) != batch:
            raise SizeMismatchError(_stored_size(node))


def _stored_size(node: fx.Node) -> str:
    return f"{label(node)} has a stored size (write torch.flatten(x, 1))"
