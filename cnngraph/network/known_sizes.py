"""Following a net whose code asks the size of its maps: ``if x.shape[-1] % 2``, ``for side in x.shape[2:]``.

A net is followed for images of one size, so that such questions have an answer, unlike those that ask for values. It
is found on fake tensors, by running the steps that were followed up to there: each once, and only if anything asks.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._subclasses.fake_tensor import FakeTensorMode

__all__ = ["SizeTracer"]


class _Sized(fx.Proxy):
    def __getattr__(self, k: str) -> fx.proxy.Attribute:
        return _SizedAttribute(self, k)

    def __len__(self) -> int:
        assert isinstance(self.tracer, SizeTracer)
        return self.tracer.len(self)

    def __int__(self) -> int:
        return int(self._number())

    def __float__(self) -> float:
        return float(self._number())

    def _number(self) -> int | float:
        assert isinstance(self.tracer, SizeTracer)
        return self.tracer.number(self)


class _SizedAttribute(_Sized, fx.proxy.Attribute):
    """As ``x.shape`` is."""


class SizeTracer(fx.Tracer):
    """A tracer that answers what the code asks of sizes, for images of ``shape`` (N, channels, height, width)."""

    def __init__(self, shape: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> None:
        super().__init__()
        self._image = (shape, device, dtype)
        self._mode = FakeTensorMode(allow_non_fake_inputs=True)
        self._known: dict[fx.Node, Any] = {}
        self._asking = False

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """What the code holds for the value of ``node``."""
        return _Sized(node, self)

    def len(self, obj: fx.Proxy) -> int:
        """How many parts a size, or a map that was split, has; raises as torch.fx does for anything else."""
        value = self._value(obj.node)
        return len(value) if isinstance(value, tuple | list) else fx.Proxy.__len__(obj)

    def to_bool(self, obj: fx.Proxy) -> bool:
        """Whether ``obj`` is true; raises as torch.fx does where that depends on the image."""
        value = self._value(obj.node)
        if isinstance(value, Tensor | Exception):
            return super().to_bool(obj)
        self._note(obj.node)
        return bool(value)

    def number(self, obj: fx.Proxy) -> int | float:
        """The number that ``obj`` is; raises as :meth:`to_bool` does where that depends on the image."""
        value = self._value(obj.node)
        if not isinstance(value, int | float):
            raise fx.proxy.TraceError("the number depends on the image")
        self._note(obj.node)
        return value

    def _note(self, node: fx.Node) -> None:
        """Remember in ``meta["decides"]`` the numbers on which the code took another way."""
        node.meta["decides"] = True
        for source in node.all_input_nodes:
            if "decides" not in source.meta and not isinstance(self._known[source], Tensor):
                self._note(source)

    def iter(self, obj: fx.Proxy) -> Iterator[Any]:
        """The parts of a size, or of a map that was split; raises as torch.fx does for anything else."""
        value = self._value(obj.node)
        if not isinstance(value, tuple | list):
            return super().iter(obj)
        return iter([self.create_proxy("call_function", operator.getitem, (obj, i), {}) for i in range(len(value))])

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Follow a call; while values are asked for, run it."""
        return forward(*args, **kwargs) if self._asking else super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        """A weight as a step; while values are asked for, itself."""
        return attr_val if self._asking else super().getattr(attr, attr_val, parameter_proxy_cache)

    def _value(self, wanted: fx.Node) -> Any:
        """What ``wanted`` gives, a fake tensor for a map; the exception where that cannot be said without an image."""
        self._asking = True
        try:
            with self._mode, torch.no_grad():
                for node in wanted.graph.nodes:
                    if node not in self._known:
                        self._known[node] = self._run(node)
        except Exception as error:  # noqa: BLE001 (whatever a step needs besides sizes: the question has no answer)
            return error
        finally:
            self._asking = False
        return self._known[wanted]

    def _run(self, node: fx.Node) -> Any:
        if node.op == "placeholder":
            shape, device, dtype = self._image
            return torch.zeros(shape, device=device, dtype=dtype)
        if node.op == "get_attr":
            owner, _, name = str(node.target).rpartition(".")
            return getattr(self.root.get_submodule(owner), name)
        args: Any = fx.node.map_arg(node.args, self._known.__getitem__)
        kwargs: Any = fx.node.map_arg(node.kwargs, self._known.__getitem__)
        if node.op == "call_module":
            return self.root.get_submodule(str(node.target))(*args, **kwargs)
        if node.op == "call_method":
            return getattr(args[0], str(node.target))(*args[1:], **kwargs)
        assert callable(node.target)
        return node.target(*args, **kwargs)
