"""Attributes that only describe a net, and must not lie after surgery: those of norms in the code, and timm's."""

from __future__ import annotations

from typing import Any

from torch import fx, nn

from cnngraph.surgery.channels import shapes
from cnngraph.surgery.channels.channel_dependencies import ChannelDependencies
from cnngraph.surgery.channels.channel_tracer import ChannelTracer
from cnngraph.surgery.channels.tracked_ints import Labels, StoredSize

__all__ = ["follow_attributes"]

_OF_NORMS = ("num_features", "num_channels")
_OF_NETS = ("num_features", "head_hidden_size")


def follow_attributes(
    model: nn.Module, module: fx.GraphModule, done: ChannelTracer, dependencies: ChannelDependencies
) -> None:
    """Enter the descriptive numbers of ``model`` into ``dependencies``."""
    for found in list(dependencies.axes.values()):
        if not found.owner or found.owner in dependencies.outputs or found.owner in dependencies.norms:
            continue  # the net itself, and layers whose numbers are known
        for attribute in _OF_NORMS:
            if getattr(model.get_submodule(found.owner), attribute, None) == len(found.labels):
                dependencies.note_size(StoredSize(found.owner, attribute), found.labels)
    _feature_info(model, done, dependencies)
    head = _classifier_inputs(module, dependencies)
    for attribute in _OF_NETS:
        if head is not None and getattr(model, attribute, None) == len(head):
            dependencies.note_size(StoredSize("", attribute), head)


def _feature_info(model: nn.Module, done: ChannelTracer, dependencies: ChannelDependencies) -> None:
    """timm says for some modules how many channels they give."""
    entries: Any = getattr(model, "feature_info", None)
    for index, entry in enumerate(entries if isinstance(entries, list) else []):
        labels = done.last_outputs.get(str(entry.get("module")) if isinstance(entry, dict) else "")
        if labels is None or labels.dim() != 4:
            continue
        row = shapes.along(labels, 1)
        if row is not None and entry.get("num_chs") == len(row):
            dependencies.described.append((index, row))


def _classifier_inputs(module: fx.GraphModule, dependencies: ChannelDependencies) -> Labels | None:
    called = [str(node.target) for node in module.graph.nodes if node.op == "call_module"]
    last = next((path for path in reversed(called) if path in dependencies.outputs), None)
    return dependencies.inputs.get(last) if last is not None else None
