"""The user's net as a ``torch.fx`` graph in which every node knows the shape of its value and its line of code.

The net is followed on itself, without a copy, in eval mode unless train mode is asked for; everything that following
touches is put back afterwards. Shapes come from fake tensors: no image is computed and no memory is spent.
"""

from __future__ import annotations

import copy
import inspect
import logging
import os
import sys
import traceback
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._subclasses.fake_tensor import FakeCopyMode, FakeTensorMode
from torch.fx.proxy import TraceError as ControlFlowError

from cnngraph.errors import ModelError, TraceError, explain
from cnngraph.models.weights import require_values
from cnngraph.network import known_sizes
from cnngraph.network.known_shapes import Outline, outline_of, work_out
from cnngraph.network.macs import counting
from cnngraph.network.step_runner import StepRunner

__all__ = [
    "BATCH",
    "fake_tensors",
    "fake_twin",
    "follow_symbolically",
    "left_untouched",
    "line_of_traceback",
]

BATCH = 2  # images in the shapes that are propagated: more than one, so that a batch is never taken for a broadcast
_HOOKS = ("_forward_hooks", "_forward_pre_hooks")
_INPUT = "input"
_CONTAINERS = (dict, OrderedDict, defaultdict, list, set, deque)
_TORCH = f"{Path(torch.__file__).parent}{os.sep}"


def follow_symbolically(
    model: nn.Module,
    input_shape: tuple[int, int, int],
    *,
    training: bool = False,
    unread: bool = False,
    prepare: Callable[[nn.Module], None] | None = None,
    leaves: frozenset[str] = frozenset(),
) -> fx.GraphModule:
    """Follow ``model`` for images of ``input_shape`` (channels, height, width).

    Every node of the result has ``meta["line"]`` and ``meta["shape"]``: that of its value for a batch of :data:`BATCH`,
    a list of shapes where the value is a tuple of tensors, ``None`` where it is no tensor; then ``meta["value"]`` is
    the value. ``meta["macs"]`` are its multiply-accumulates for one image. The result holds the user's own modules, and
    the net in ``meta["model"]``; ``model`` is left as it was.

    Args:
        training: follow what train mode does (auxiliary heads) instead of eval mode.
        unread: keep steps whose value nothing reads; the net runs them all the same.
        prepare: called with ``model`` just before it is followed; attributes that it sets are put back with the rest.
        leaves: paths of modules that stay one step, whatever their code does.

    Raises:
        ModelError: weights that are NaN, infinite or without values (``meta`` device).
        TraceError: the net cannot be followed, or does not take images of this shape.
    """
    if any(isinstance(part, torch.jit.ScriptModule) for part in model.modules()):
        raise TraceError("A scripted net cannot be followed.", "Give the nn.Module that it was scripted from.")
    _check_shape(input_shape)
    device, dtype = _check_weights(model)
    shape = (BATCH, *input_shape)
    with left_untouched(model, training=training):
        if prepare is not None:
            prepare(model)
        module: fx.GraphModule = StepRunner(model, _traced(model, leaves, shape, device, dtype), type(model).__name__)
        module.meta["model"] = model
        _rewire_in_place(module)
        if not unread:
            module.graph.eliminate_dead_code(lambda node: node.is_impure() or known_sizes.ASKED in node.meta)
        _propagate(module, shape, device, dtype)
    return module


def _check_shape(input_shape: tuple[int, ...]) -> None:
    if len(input_shape) != 3 or any(not isinstance(n, int) or n < 1 for n in input_shape):
        raise TraceError(
            f"The input shape {tuple(input_shape)} is not (channels, height, width).",
            "Give three positive whole numbers, without the batch, such as (3, 224, 224).",
        )


def _check_weights(model: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Refuse weights that are not numbers; return the device and floating type that images must have."""
    require_values(model)
    floating: Tensor | None = None
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if tensor.is_floating_point():
            floating = tensor if floating is None else floating
            # The sum is the quick test; it may overflow for finite weights, so that only the slow one decides.
            if not torch.isfinite(tensor.detach().sum()) and not torch.isfinite(tensor).all():
                raise ModelError(f"The weight {name} has values that are NaN or infinite.", "Load sound weights.")
    if floating is None:
        return torch.device("cpu"), torch.get_default_dtype()
    return floating.device, floating.dtype


@contextmanager
def left_untouched(model: nn.Module, *, training: bool) -> Iterator[None]:
    """One mode for all and no hooks inside; afterwards modes, hooks, attributes and buffers are as they were."""
    modules = list(model.modules())
    attributes = [dict(module.__dict__) for module in modules]
    contents = [
        (value, copy.copy(value)) for kept in attributes for value in kept.values() if type(value) in _CONTAINERS
    ]
    buffers = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    try:
        for module in modules:
            module.training = training
            for hooks in _HOOKS:
                module.__dict__[hooks] = type(module.__dict__[hooks])()
        yield
    finally:
        for module, kept in zip(modules, attributes, strict=True):
            module.__dict__.clear()
            module.__dict__.update(kept)
        for container, content in contents:
            container.clear()
            (container.extend if isinstance(container, list | deque) else container.update)(content)
        with torch.no_grad():
            for buffer, before in buffers:
                if not torch.equal(buffer, before):
                    buffer.copy_(before)


class _Tracer(known_sizes.SizeTracer):
    """Layers of torch and torchvision are leaves; everything else is followed into."""

    def __init__(
        self, leaves: frozenset[str], shape: tuple[int, ...], device: torch.device, dtype: torch.dtype
    ) -> None:
        super().__init__(shape, device, dtype)
        self.leaves = leaves

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if module_qualified_name in self.leaves:
            return True
        if isinstance(m, nn.Sequential | nn.ModuleList | nn.ModuleDict):
            return False
        home = type(m).__module__
        if home.startswith(("torch.nn.", "torch.ao.nn.")):
            return True
        childless = next(m.children(), None) is None
        if home.startswith("torchvision."):
            return childless
        # A subclass that only fixes arguments of a layer is that layer; one with a forward of its own is read.
        base = next((b for b in type(m).__mro__[1:] if b.__module__.startswith("torch.nn.modules.")), nn.Module)
        return base is not nn.Module and childless and _behaves_like(type(m), base)

    def create_args_for_root(
        self,
        root_fn: Callable[..., Any],
        is_module: bool,  # noqa: ARG002
        concrete_args: Any = None,  # noqa: ARG002
    ) -> tuple[Callable[..., Any], list[Any]]:
        """One image goes in; all other arguments of ``forward`` keep their defaults."""
        given = list(inspect.signature(root_fn).parameters.values())[1:]
        required = [p for p in given if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        if not given or len(required) > 1 or any(p.kind is p.KEYWORD_ONLY for p in required):
            raise TraceError(
                f"forward of {type(self.root).__name__} takes ({', '.join(map(str, given))}), not one batch of images.",
                "Wrap the net in a module whose forward takes one batch of images.",
            )
        return root_fn, [self.root, self.create_proxy("placeholder", _INPUT, (), {})]

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        node = super().create_node(*args, **kwargs)
        node.meta["line"] = _line_of_frames(sys._getframe(1))
        return node


def _behaves_like(derived: type, base: type) -> bool:
    own = [klass for klass in derived.__mro__ if klass not in base.__mro__]
    return not any(name in vars(klass) for klass in own for name in ("forward", "_conv_forward", "__call__"))


def _traced(
    model: nn.Module, leaves: frozenset[str], shape: tuple[int, ...], device: torch.device, dtype: torch.dtype
) -> fx.Graph:
    try:
        return _Tracer(leaves, shape, device, dtype).trace(model)
    except TraceError:
        raise
    except Exception as error:
        where = line_of_traceback(error.__traceback__) or "an unknown line"
        if isinstance(error, ControlFlowError):
            reason, hint = (
                "what it does depends on the values of the image",
                "Take the decision out of forward.",
            )
        else:
            reason, hint = explain(error), "Write this step with torch functions of the batch alone."
        raise TraceError(f"{type(model).__name__} cannot be followed at {where}: {reason}.", hint) from error


def _rewire_in_place(module: fx.GraphModule) -> None:
    """Later readers of a value that an operation overwrote read the operation: ``relu_(x); use(x)`` uses the ReLU."""
    order = {node: number for number, node in enumerate(module.graph.nodes)}
    for node in module.graph.nodes:
        source = node.args[0] if node.args else None
        if isinstance(source, fx.Node) and _overwrites(node, module):
            later = [user for user in source.users if order[user] > order[node]]
            for user in later:
                user.replace_input_with(source, node)


def _overwrites(node: fx.Node, module: fx.GraphModule) -> bool:
    if node.op == "call_module":
        return bool(getattr(module.get_submodule(str(node.target)), "inplace", False))
    if node.kwargs.get("inplace") is True:
        return True
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    return (node.op.startswith("call_") and name.endswith("_") and not name.startswith("_")) or name in {
        "iadd",
        "imul",
        "isub",
    }


class _ShapeRecorder(fx.Interpreter):
    """Notes the shape of every value: what :mod:`cnngraph.network.known_shapes` tells of it, else on fake tensors."""

    current: fx.Node | None = None

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module, garbage_collect_values=True)
        self.of_image: set[fx.Node] = set()

    @cached_property
    def mode(self) -> FakeTensorMode:
        """The one that all fake tensors of this run are of; many a run needs none."""
        return FakeTensorMode(allow_non_fake_inputs=True)

    def run_node(self, n: fx.Node) -> Any:
        self.current = n
        value, macs = self._told(n) or self._run_on_fakes(n)
        if n.op == "placeholder" or any(source in self.of_image for source in n.all_input_nodes):
            self.of_image.add(n)
        n.meta["macs"] = macs // BATCH if n in self.of_image else macs
        n.meta["shape"] = _shape_of(value)
        if n.meta["shape"] is None:
            n.meta["value"] = value
        elif isinstance(value, Tensor | Outline):
            n.meta["dtype"], n.meta["device"] = value.dtype, value.device
        return value

    def _told(self, node: fx.Node) -> tuple[Any, int] | None:
        """The value and its multiply-accumulates, where nothing has to run."""
        if node.op == "placeholder":
            return next(self.args_iter), 0
        if node.op == "output" and isinstance(node.args[0], fx.Node):
            return self.env[node.args[0]], 0
        if node.op not in ("call_module", "call_function", "call_method"):
            return None
        args, kwargs = self.fetch_args_kwargs_from_env(node)
        step = self.fetch_attr(str(node.target)) if node.op == "call_module" else node.target
        return work_out(step, *fx.node.map_aggregate((args, kwargs), _outlined))

    def _run_on_fakes(self, node: fx.Node) -> tuple[Any, int]:
        with self.mode, counting() as counter:
            for source in node.all_input_nodes:
                self.env[source] = fx.node.map_aggregate(self.env[source], _as_tensor)
            return super().run_node(node), counter.macs


def _outlined(value: Any) -> Any:
    return outline_of(value) or value if isinstance(value, Tensor) else value


def _as_tensor(value: Any) -> Any:
    return value.as_tensor() if isinstance(value, Outline) else value


def _shape_of(value: Any) -> Any:
    if isinstance(value, Tensor | Outline):
        return tuple(value.shape)
    if isinstance(value, tuple | list) and value and all(isinstance(part, Tensor) for part in value):
        return [tuple(part.shape) for part in value]
    return None


@contextmanager
def fake_tensors() -> Iterator[FakeTensorMode]:
    """Tensors with shapes and no values inside, next to real weights.

    torch logs every operation that refuses its shapes with a traceback, before it raises; callers say it in one line.
    """
    with _quiet_fakes(), FakeTensorMode(allow_non_fake_inputs=True) as mode:
        yield mode


@contextmanager
def _quiet_fakes() -> Iterator[None]:
    log = logging.getLogger("torch._subclasses.fake_tensor")
    silent = log.disabled
    log.disabled = True
    try:
        yield
    finally:
        log.disabled = silent


@contextmanager
def fake_twin(model: nn.Module) -> Iterator[tuple[nn.Module, Callable[[tuple[int, ...]], Tensor]]]:
    """A copy of ``model`` whose weights have no values, and what makes images (N, channels, height, width) for it.

    Unlike :func:`fake_tensors` alone this can be trained: no gradient meets a real weight.
    """
    weight = next(iter(model.parameters()), torch.empty(0))
    with fake_tensors() as mode:
        with FakeCopyMode(mode):
            twin = copy.deepcopy(model)
        yield twin, lambda shape: torch.zeros(shape, device=weight.device, dtype=weight.dtype)


def _propagate(module: fx.GraphModule, shape: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> None:
    recorder = _ShapeRecorder(module)
    try:
        with torch.no_grad(), _quiet_fakes():
            recorder.run(Outline(shape, dtype, device))
    except Exception as error:
        node = recorder.current
        where = (node.meta.get("line") if node is not None else "") or "an unknown line"
        what = f" in {node.target}" if node is not None and node.op == "call_module" else ""
        size = f"{shape[1]} x {shape[2]} x {shape[3]}"
        raise TraceError(
            f"{type(module).__name__} does not take images of {size} (channels x height x width): "
            f"{where}{what}: {explain(error)}.",
            "Give the input size that the net was made for.",
        ) from error


def _is_users(filename: str) -> bool:
    """Whether a file is the user's: not torch's, not one of those that follow, not generated."""
    return not (filename.startswith(("<", _TORCH)) or filename in (__file__, known_sizes.__file__))


def _line_of_frames(frame: FrameType | None) -> str:
    while frame is not None and frame.f_code is not _traced.__code__:
        if _is_users(frame.f_code.co_filename):
            return f"{frame.f_code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


def line_of_traceback(trace: TracebackType | None) -> str:
    """``file:line`` of the last line of the user's own code in it, or ""."""
    lines = [f"{f.filename}:{f.lineno}" for f in traceback.extract_tb(trace) if _is_users(f.filename)]
    return lines[-1] if lines else ""
