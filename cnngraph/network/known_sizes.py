"""Following a net whose code asks the size of its maps: ``if x.shape[-1] % 2``, ``int(x.size(1) / 2)``.

A net is followed for images of one size, so that such questions have an answer, unlike those that ask for values. It
is found on fake tensors, by running the steps that were followed up to there: each once, and only if anything asks.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.proxy import TraceError as ControlFlowError

__all__ = ["ASKED", "DECIDES", "OTHERWISE", "SizeTracer"]

ASKED = "asked"  # in the meta of a node: what the code made of its value while the net was followed, as functions
OTHERWISE = "otherwise"  # in the meta of the image: paths of modules that are called with more, or less, than one value
DECIDES = "decides"  # in the meta of a node: the code goes its way by this number, or by one that is reckoned from it

_MAKING = (torch.zeros, torch.ones, torch.full, torch.empty, torch.rand, torch.randn, torch.arange, torch.eye)


class _Sized(fx.Proxy):
    def __getattr__(self, k: str) -> fx.proxy.Attribute:
        return _SizedAttribute(self, k)

    def __len__(self) -> int:
        assert isinstance(self.tracer, SizeTracer)
        return self.tracer.len(self)

    def _as(self, kind: Callable[[Any], Any]) -> Any:
        assert isinstance(self.tracer, SizeTracer)
        return self.tracer.number(self, kind)

    def __int__(self) -> int:
        return int(self._as(int))

    def __setitem__(self, index: object, value: object) -> None:
        raise TypeError("a part of a map that is set (x[...] = y) cannot be followed: write torch.cat or torch.where")

    def __index__(self) -> int:
        return int(self._as(operator.index))

    def __float__(self) -> float:
        return float(self._as(float))

    def __round__(self, ndigits: int | None = None) -> Any:
        return self._as(lambda value: round(value, ndigits))


class _SizedAttribute(_Sized, fx.proxy.Attribute):
    """As ``x.shape`` is."""


class SizeTracer(fx.Tracer):
    """A tracer that answers what the code asks of sizes, for images of ``shape`` (N, channels, height, width)."""

    def __init__(self, shape: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> None:
        super().__init__()
        self._image = (shape, device, dtype)
        self._known: dict[fx.Node, Any] = {}
        self._asking = False
        self._otherwise: set[str] = set()
        self.proxy_buffer_attributes = True
        # Unlike other functions of torch these do not see for themselves that a size is still to be found out.
        self._autowrap_function_ids.update(map(id, _MAKING))
        self._autowrap_search.append(torch)

    @cached_property
    def _mode(self) -> FakeTensorMode:
        return FakeTensorMode(allow_non_fake_inputs=True)

    def trace(self, root: Any, concrete_args: dict[str, Any] | None = None) -> fx.Graph:
        """Follow ``root``."""
        graph = super().trace(root, concrete_args)
        next(iter(graph.nodes)).meta[OTHERWISE] = frozenset(self._otherwise)
        for node in graph.nodes:  # torch.fx would look for the functions above under their dotted names next time
            node.meta.pop("is_wrapped", None)
        return graph

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """What the code holds for the value of ``node``."""
        return _Sized(node, self)

    def len(self, obj: fx.Proxy) -> int:
        """How many parts a size, a map that was split, or a weight has; raises for the number of images."""
        value = self._value(obj.node)
        if isinstance(value, tuple | list) or (isinstance(value, Tensor) and not self._of_image(obj.node)):
            return len(value)
        raise TypeError("len of a map cannot be followed: write x.size(0) for len(x)")

    def to_bool(self, obj: fx.Proxy) -> bool:
        """Whether ``obj`` is true; raises as torch.fx does where that depends on the image."""
        value = self._value(obj.node)
        if isinstance(value, Tensor) and not self._of_image(obj.node):
            return bool(self._real(obj.node))
        if isinstance(value, Tensor | Exception):
            return super().to_bool(obj)
        return bool(self._answered(obj.node, bool))

    def number(self, obj: fx.Proxy, kind: Callable[[Any], Any]) -> Any:
        """``kind`` (``int``, ``float``, ...) of a number; raises as torch.fx does where that depends on the image."""
        value = self._value(obj.node)
        if isinstance(value, Tensor) and not self._of_image(obj.node):
            return kind(self._real(obj.node))
        if not isinstance(value, int | float):
            raise ControlFlowError("a value of the image is made a number")
        if self._counts_images(obj.node):
            raise TypeError("the number of images is made a number that is the same for every batch")
        return self._answered(obj.node, kind)

    def _counts_images(self, node: fx.Node) -> bool:
        """Whether a number is reckoned from the first size of a map: that of the batch."""
        if isinstance(self._known[node], Tensor | tuple):
            return False
        first = node.args[1:] == (0,)  # x.size(0), x.shape[0]
        of_map = [isinstance(self._known[source], Tensor | torch.Size) for source in node.all_input_nodes]
        return (first and any(of_map)) or any(self._counts_images(source) for source in node.all_input_nodes)

    def _answered(self, node: fx.Node, kind: Callable[[Any], Any]) -> Any:
        """``kind`` of the value of ``node``, on which what the code does from here on depends."""
        node.meta.setdefault(ASKED, []).append(kind)
        self._note(node)
        return kind(self._known[node])

    def _note(self, node: fx.Node) -> None:
        node.meta[DECIDES] = True
        for source in node.all_input_nodes:
            if DECIDES not in source.meta and not isinstance(self._known[source], Tensor):
                self._note(source)

    def iter(self, obj: fx.Proxy) -> Iterator[Any]:
        """The parts of a size, of a map that was split, or of a weight; raises as torch.fx does for anything else."""
        value = self._value(obj.node)
        parts = isinstance(value, tuple | list) or (isinstance(value, Tensor) and not self._of_image(obj.node))
        if not parts:
            return super().iter(obj)
        return iter([self.create_proxy("call_function", operator.getitem, (obj, i), {}) for i in range(len(value))])

    def _of_image(self, node: fx.Node) -> bool:
        waiting, seen = [node], {node}
        while waiting:
            here = waiting.pop()
            if here.op == "placeholder":
                return True
            waiting += [source for source in here.all_input_nodes if source not in seen]
            seen.update(here.all_input_nodes)
        return False

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Follow a call; while values are asked for, run it.

        A module that the code makes as it goes (``self.features[:3]``, ``nn.Softmax(dim=1)(x)``) is what its forward
        does; one with weights that the net does not keep is another at every call.
        """
        if self._asking:
            return forward(*args, **kwargs)
        path = (self.submodule_paths or {}).get(m)
        if path is not None:
            if (len(args), *kwargs) not in {(1,), (0, "input")}:
                self._otherwise.add(path)
            return super().call_module(m, forward, args, kwargs)
        if {id(own) for own in m.parameters()} - {id(kept) for kept in self.root.parameters()}:
            raise ValueError(f"the {type(m).__name__} that is called is no part of the net (put it into nn.ModuleList)")
        return forward(*args, **kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        """A weight, or a buffer that may belong to channels, as a step; while values are asked for, itself."""
        plain = isinstance(attr_val, Tensor) and not (attr_val.is_floating_point() and attr_val.dim())
        if self._asking or (plain and not isinstance(attr_val, nn.Parameter)):
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)

    def _value(self, wanted: fx.Node) -> Any:
        """What ``wanted`` gives, a fake tensor for a map; the exception where that cannot be said without an image."""
        self._asking = True
        try:
            with self._mode, torch.no_grad():
                for node in wanted.graph.nodes:
                    if node not in self._known:
                        self._known[node] = self._run(node, self._known)
        except Exception as error:  # noqa: BLE001 (whatever a step needs besides sizes: the question has no answer)
            return error
        finally:
            self._asking = False
        return self._known[wanted]

    def _real(self, wanted: fx.Node) -> Any:
        """What ``wanted``, which is made of weights and buffers alone, gives."""
        known: dict[fx.Node, Any] = {}
        self._asking = True
        try:
            with torch.no_grad():
                for node in wanted.graph.nodes:
                    if not self._of_image(node):
                        known[node] = self._run(node, known)
        finally:
            self._asking = False
        return known[wanted]

    def _run(self, node: fx.Node, known: dict[fx.Node, Any]) -> Any:
        if node.op == "placeholder":
            shape, device, dtype = self._image
            return torch.zeros(shape, device=device, dtype=dtype)
        if node.op == "get_attr":
            owner, _, name = str(node.target).rpartition(".")
            return getattr(self.root.get_submodule(owner), name)
        args: Any = fx.node.map_arg(node.args, known.__getitem__)
        kwargs: Any = fx.node.map_arg(node.kwargs, known.__getitem__)
        if node.op == "call_module":
            return self.root.get_submodule(str(node.target))(*args, **kwargs)
        if node.op == "call_method":
            return getattr(args[0], str(node.target))(*args[1:], **kwargs)
        assert callable(node.target)
        return node.target(*args, **kwargs)
