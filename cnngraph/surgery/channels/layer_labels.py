"""Labels through layers with weights: what they read, what they give, and which of their numbers and tensors follow."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cnngraph.models.torchvision_nets import layer_classes
from cnngraph.surgery.channels import shapes
from cnngraph.surgery.channels.channel_dependencies import ChannelDependencies
from cnngraph.surgery.channels.kernels import CONV, TRANSPOSED, Kernel, takes_whole_groups
from cnngraph.surgery.channels.tracked_ints import Labels, StoredSize

__all__ = ["LayerLabels"]

_KNOWN = (CONV, nn.Linear, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm, nn.PReLU)


class LayerLabels:
    """The layers of one net. Calling it with a layer and the labels that it reads gives the labels of its outputs."""

    def __init__(self, net: nn.Module, dependencies: ChannelDependencies) -> None:
        self.dependencies = dependencies
        frozen = layer_classes("FrozenBatchNorm2d")
        self._by_channel: tuple[type[nn.Module], ...] = (nn.modules.batchnorm._NormBase, *frozen)
        self._owners = Counter(
            id(parameter) for module in net.modules() for parameter in module.parameters(recurse=False)
        )

    def knows(self, module: nn.Module) -> bool:
        """Whether ``module`` is a layer with channels of its own."""
        return isinstance(module, (*_KNOWN, *self._by_channel))

    def __call__(self, path: str, module: nn.Module, labels: Tensor, shape: tuple[int, ...]) -> Tensor:
        if isinstance(module, CONV):
            return self._conv(path, module, labels, shape)
        if isinstance(module, nn.Linear):
            return self._dense(path, module, labels, shape)
        if isinstance(module, self._by_channel):
            return self._norm(path, module, labels)
        if isinstance(module, nn.GroupNorm):
            return self._group_norm(path, module, labels)
        if isinstance(module, nn.PReLU):
            return self._slopes(path, module, labels)
        assert isinstance(module, nn.LayerNorm | nn.RMSNorm)
        return self._layer_norm(path, module, labels)

    def called(self, path: str, module: nn.Module, labels: Tensor, shape: tuple[int, ...]) -> Tensor:
        """As calling it, for a layer that is called itself, not by a function with its weights as they are."""
        found = self(path, module, labels, shape)
        if path in self.dependencies.kernels and self.dependencies.kernels[path] is None:
            for row in (self.dependencies.outputs[path], self.dependencies.inputs[path]):
                self.dependencies.pin(row, f"{path} makes its weights of all of its filters")
        return found

    def own(self, owner: str, name: str, axis: int, tensor: Tensor) -> Labels:
        """The labels of a parameter's own elements along ``axis``, the same at every use."""
        if (owner, name, axis) not in self.dependencies.axes:
            self.dependencies.note_axis(owner, name, axis, self.dependencies.new_labels(tensor.shape[axis]))
        labels = self.dependencies.axes[owner, name, axis].labels
        if self._owners[id(tensor)] > 1:
            self.dependencies.pin(labels, f"{owner} shares a parameter with another module")
        return labels

    def _conv(self, path: str, conv: nn.modules.conv._ConvNd, labels: Tensor, shape: tuple[int, ...]) -> Tensor:
        read = self._row(labels, 1, path)
        given = self.dependencies.outputs_of(path, conv.out_channels)
        self.dependencies.convs.add(path)
        self.dependencies.note_inputs(path, read)
        self.dependencies.note_size(StoredSize(path, "in_channels"), read)
        self.dependencies.note_size(StoredSize(path, "out_channels"), given)
        into, out = (0, 1) if isinstance(conv, TRANSPOSED) else (1, 0)
        kernel = self.dependencies.kernels.get(path)
        if kernel is not None:
            self._made(path, kernel, *self._couple_by_group(path, conv, read, given))
        elif conv.groups == 1:
            self.dependencies.note_axis(path, "weight", into, read, reads=True)
            self.dependencies.note_axis(path, "weight", out, given)
        else:
            self._grouped(path, conv, read, given)
        if conv.bias is not None and kernel is None:
            self.dependencies.note_axis(path, "bias", 0, given)
        self._guard(path, conv, read, given)
        return _row_of(given, 1, shape)

    def _grouped(self, path: str, conv: nn.modules.conv._ConvNd, read: Labels, given: Labels) -> None:
        transposed = isinstance(conv, TRANSPOSED)
        self.dependencies.note_axis(path, "weight", 0, read if transposed else given, reads=transposed)
        ins, outs = self._couple_by_group(path, conv, read, given)
        if not takes_whole_groups(conv.groups, len(ins), len(outs) // conv.groups):
            self.dependencies.note_axis(
                path, "weight", 1, outs[: len(outs) // conv.groups] if transposed else ins, reads=not transposed
            )

    def _couple_by_group(
        self, path: str, conv: nn.modules.conv._ConvNd, read: Labels, given: Labels
    ) -> tuple[Labels, Labels]:
        """Couple whole groups, or one place in every group; returns what the first group reads, and all outputs."""
        ins, outs = read.reshape(conv.groups, -1), given.reshape(conv.groups, -1)
        if takes_whole_groups(conv.groups, ins.shape[1], outs.shape[1]):
            self.dependencies.couple(ins, ins[:, :1])
            self.dependencies.couple(outs, ins[:, :1])
            self.dependencies.note_size(StoredSize(path, "groups"), outs[:, 0])
        else:
            self.dependencies.couple(ins, ins[:1])
            self.dependencies.couple(outs, outs[:1])
        return ins[0], given

    def _made(self, path: str, kernel: Kernel, read: Labels, given: Labels) -> None:
        """Everything that the weights of a layer are made of."""
        for labels, parts in ((given, kernel.outputs), (read, kernel.inputs)):
            for part in parts:
                self.dependencies.note_axis(".".join(filter(None, (path, part.owner))), part.name, part.axis, labels)

    def _dense(self, path: str, dense: nn.Linear, labels: Tensor, shape: tuple[int, ...]) -> Tensor:
        axis = labels.dim() - 1
        if not shapes.varies(labels, axis) and any(shapes.varies(labels, other) for other in range(1, axis)):
            return labels.narrow(axis, 0, 1).expand(shape)  # it mixes the places of each channel
        read = self._row(labels, axis, path)
        given = self.dependencies.outputs_of(path, dense.out_features)
        if labels.dim() > 3:  # images, rows, columns, channels
            self.dependencies.over_places.add(path)
        self.dependencies.note_inputs(path, read)
        self.dependencies.note_size(StoredSize(path, "in_features"), read)
        self.dependencies.note_size(StoredSize(path, "out_features"), given)
        kernel = self.dependencies.kernels.get(path)
        if kernel is not None:
            self._made(path, kernel, read, given)
        else:
            self.dependencies.note_axis(path, "weight", 1, read, reads=True)
            self.dependencies.note_axis(path, "weight", 0, given)
            if dense.bias is not None:
                self.dependencies.note_axis(path, "bias", 0, given)
        self._guard(path, dense, read, given)
        return _row_of(given, axis, shape)

    def _norm(self, path: str, norm: nn.Module, labels: Tensor) -> Tensor:
        row = self._row(labels, 1, path)
        self._scale(path, norm, row)
        if hasattr(norm, "num_features"):
            self.dependencies.note_size(StoredSize(path, "num_features"), row)
        return labels

    def _slopes(self, path: str, prelu: nn.PReLU, labels: Tensor) -> Tensor:
        """One slope a channel, or one for all."""
        if prelu.num_parameters > 1:
            row = self._row(labels, 1, path)
            self.dependencies.note_axis(path, "weight", 0, row)
            self.dependencies.note_size(StoredSize(path, "num_parameters"), row)
            self._guard(path, prelu, row)
        return labels

    def _group_norm(self, path: str, norm: nn.GroupNorm, labels: Tensor) -> Tensor:
        """Whole groups go, which is exact, or the same place in every group, where the norm then sees fewer."""
        row = self._row(labels, 1, path)
        groups = row.reshape(norm.num_groups, -1)
        self._scale(path, norm, row)
        self.dependencies.note_size(StoredSize(path, "num_channels"), row)
        if groups.shape[1] > norm.num_groups:
            self.dependencies.couple(groups, groups[:1])
            self.dependencies.note_axis(
                path, "weight", 0, row
            )  # also where it has none: the reference norm is known by it
            self.dependencies.across.add((path, "weight"))
        else:
            self.dependencies.couple(groups, groups[:, :1])
            self.dependencies.note_size(StoredSize(path, "num_groups"), groups[:, 0])
        return labels

    def _layer_norm(self, path: str, norm: nn.LayerNorm | nn.RMSNorm, labels: Tensor) -> Tensor:
        sizes = tuple(norm.normalized_shape)
        # torchvision's LayerNorm2d is a LayerNorm that has channels first
        first = 1 if type(norm).__name__ == "LayerNorm2d" else labels.dim() - len(sizes)
        varying = [i for i in range(len(sizes)) if shapes.varies(labels, first + i)]
        outside = [axis for axis in range(labels.dim()) if not first <= axis < first + len(sizes)]
        if len(varying) > 1 or any(shapes.varies(labels, axis) for axis in outside):
            self.dependencies.pin(shapes.flat(labels), f"{path} runs over them and over places")
            return labels
        for place in varying:
            row = self._row(labels, first + place, path)
            for name in ("weight", "bias"):
                if name == "weight" or getattr(norm, name, None) is not None:
                    self.dependencies.note_axis(path, name, place, row)
            self.dependencies.note_size(StoredSize(path, "normalized_shape", place), row)
            self.dependencies.norms.setdefault(path, row)
            self.dependencies.across.add((path, "weight"))
            self._guard(path, norm, row)
        return labels

    def _scale(self, path: str, norm: nn.Module, row: Labels) -> None:
        """Everything of ``norm`` that has one number a channel."""
        for name, tensor in (*norm.named_parameters(recurse=False), *norm.named_buffers(recurse=False)):
            if tensor.dim() == 1:
                self.dependencies.note_axis(path, name, 0, row)
        self.dependencies.norms.setdefault(path, row)
        self._guard(path, norm, row)

    def _row(self, labels: Tensor, axis: int, path: str) -> Labels:
        """The labels along the axis that a layer reads; where they differ from place to place, they stay."""
        row = shapes.along(labels, axis)
        if row is None:
            self.dependencies.pin(shapes.flat(labels), f"{path} reads them mixed with places")
            return np.zeros(labels.shape[axis], np.int64)
        return row

    def _guard(self, path: str, module: nn.Module, *rows: Labels) -> None:
        """Pin the channels of a layer whose weights are not its own."""
        reason = ""
        if any(self._owners[id(parameter)] > 1 for parameter in module.parameters()):
            reason = f"{path} shares a parameter with another module"
        elif path not in self.dependencies.kernels and (
            hasattr(module, "parametrizations") or (hasattr(module, "weight") and "weight" not in _held(module))
        ):
            reason = f"{path} makes its weights from other parameters"
        if reason:
            for row in rows:
                self.dependencies.pin(row, reason)


def _held(module: nn.Module) -> dict[str, Any]:
    return {**module._parameters, **module._buffers}


def _row_of(labels: Labels, axis: int, shape: tuple[int, ...]) -> Tensor:
    line = [1] * len(shape)
    line[axis] = -1
    return torch.from_numpy(labels).reshape(line).expand(shape)
