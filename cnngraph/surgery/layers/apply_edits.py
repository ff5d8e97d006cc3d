"""Edits applied to a deep copy of the user's net: modules are replaced, its class and its forward stay."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Iterable
from zlib import crc32

import torch
from torch import Tensor, nn

from cnngraph.randomness import seeded
from cnngraph.surgery.channels.filters import copy_net
from cnngraph.surgery.edits import Edit
from cnngraph.surgery.layers.bypass import Adapter, Copy, Nothing, Open
from cnngraph.surgery.layers.one_layer import NewBlock, NewLayer, make_block, make_conv
from cnngraph.surgery.layers.replacements import LeaveOut, NewNorm, OpenGate, PutAdapter, Remove, Replace, SkipBlock
from cnngraph.surgery.layers.residual import Residual
from cnngraph.surgery.layers.rewrite import AdapterSpec, Resize, ResizeNorm

__all__ = ["apply_edits", "renew", "renew_everything"]


def apply_edits(model: nn.Module, edits: Iterable[Edit], seed: int) -> nn.Module:
    """A copy of ``model`` after ``edits``, in their order; resized layers keep the slices of their weights that fit."""
    slim = copy_net(model)
    for edit in edits:
        _put(slim, edit.path, _made(model, slim, edit, seed))
    return slim


def _made(model: nn.Module, slim: nn.Module, edit: Edit, seed: int) -> nn.Module:
    """What stands at the edit's path from now on; ``slim`` is the net as far as it is edited."""
    old = model.get_submodule(edit.path)
    match edit.detail:
        case Resize() as resize:
            return _resized(slim.get_submodule(edit.path), resize, seed + crc32(edit.path.encode()))
        case NewNorm(resize=resize):
            if resize.norm_of:
                return copy.deepcopy(model.get_submodule(resize.norm_of))
            return _fresh_norm(old, resize.outputs)
        case ResizeNorm() as norm_resize:
            return _norm_resized(old, norm_resize)
        case Replace(module=module):
            return copy.deepcopy(module)
        case PutAdapter(spec=spec, bypass=bypass):
            return _adapter(old, copy.deepcopy(bypass), spec)
        case OpenGate():
            return Open()
        case LeaveOut(channels=channels, size=size):
            return Nothing(channels, copy.deepcopy(size))
        case Remove():
            return nn.Identity()
        case SkipBlock(block=block, redundant_relu=redundant_relu):
            return _without_branch(slim, block, redundant_relu=redundant_relu)
        case NewLayer(conv=conv):
            return make_conv(conv, next(old.parameters()), seed + crc32(edit.path.encode()))
        case NewBlock() as detail:
            return make_block(slim.get_submodule(edit.path), detail, edit.path, seed)
    raise AssertionError(f"{edit.kind} is no edit of layers")


def _adapter(old: nn.Module, bypass: nn.Module, spec: AdapterSpec) -> nn.Module:
    with seeded(0):  # a conv draws weights when it is made
        adapter: nn.Module = Adapter(spec.inputs, spec.outputs)
    weight = next(old.parameters())
    adapter = adapter.to(weight.device, weight.dtype).requires_grad_(weight.requires_grad)
    if isinstance(bypass, nn.Identity | Copy):
        return adapter
    return nn.Sequential(OrderedDict(passage=bypass, adapter=adapter))


def renew(module: nn.Module, seed: int) -> None:
    """Give ``module`` new weights by its own ``reset_parameters``; the global random state stays as it was."""
    with seeded(seed):
        module.reset_parameters()  # type: ignore[operator]


def renew_everything(model: nn.Module, seed: int) -> list[str]:
    """New weights for the whole net; returns the parameters that no module knows how to renew.

    Convs and dense layers start as He et al. 2015 (``fan_in``, bias 0), so that a deep net without norm still learns;
    other modules by their own ``reset_parameters``.
    """
    known: set[int] = set()
    for path, module in model.named_modules():
        own = list(module.parameters(recurse=False))
        if not own or not hasattr(module, "reset_parameters"):
            continue
        known.update(map(id, own))
        renew(module, seed + crc32(path.encode()))
        if isinstance(module, nn.Conv2d | nn.Linear):
            with seeded(seed + crc32(path.encode())), torch.no_grad():
                nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
                if module.bias is not None:
                    module.bias.zero_()
    return [name for name, parameter in model.named_parameters() if id(parameter) not in known]


def _put(model: nn.Module, path: str, module: nn.Module) -> None:
    """Put ``module`` in the place of the one at ``path``, under every name that this one has."""
    old = model.get_submodule(path)
    module.train(old.training)
    for parent in list(model.modules()):
        for name, child in list(parent._modules.items()):  # named_children() tells one name alone
            if child is old:
                setattr(parent, name, module)


def _resized(module: nn.Module, resize: Resize, seed: int) -> nn.Module:
    """``module`` with other widths: new weights by ``seed``, the slices that fit from the old ones."""
    assert isinstance(module, nn.Conv2d | nn.Linear)
    old_weight, old_bias = module.weight, module.bias
    twin = copy.deepcopy(module)
    if isinstance(twin, nn.Conv2d):
        twin.in_channels, twin.out_channels = resize.inputs, resize.outputs
        shape: tuple[int, ...] = (resize.outputs, resize.inputs, *twin.kernel_size)
    else:
        twin.in_features, twin.out_features = resize.inputs, resize.outputs
        shape = (resize.outputs, resize.inputs)
    twin.weight = nn.Parameter(torch.empty(shape, dtype=old_weight.dtype), requires_grad=old_weight.requires_grad)
    if old_bias is not None:
        empty = torch.empty(resize.outputs, dtype=old_bias.dtype)
        twin.bias = nn.Parameter(empty, requires_grad=old_bias.requires_grad)
    renew(twin, seed)
    twin.to(old_weight.device)
    with torch.no_grad():
        old, new = _as_maps(old_weight, resize, 0), _as_maps(twin.weight, resize, 1)
        before, after = 0, 0
        for was, now in resize.pieces or ((old.shape[1], new.shape[1]),):
            target, source = _common(new.narrow(1, after, now), old.narrow(1, before, was))
            target.copy_(source)
            before, after = before + was, after + now
        if old_bias is not None and twin.bias is not None:
            kept = min(len(old_bias), len(twin.bias))
            twin.bias[:kept] = old_bias[:kept]
    return twin


def _as_maps(weight: Tensor, resize: Resize, after: int) -> Tensor:
    """A dense layer's weight as (outputs, channels, height, width), where it reads flattened maps."""
    return weight if resize.maps is None else weight.view(weight.shape[0], *resize.maps[after])


def _common(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Views of the parts that both have: the first channels, the middle of the map."""
    for axis in range(a.dim()):
        kept = min(a.shape[axis], b.shape[axis])
        a, b = (t.narrow(axis, (t.shape[axis] - kept) // 2 if axis > 1 else 0, kept) for t in (a, b))
    return a, b


def _fresh_norm(norm: nn.Module, width: int) -> nn.Module:
    """A norm like ``norm`` for ``width`` channels, at its start: mean 0, variance 1."""
    twin = copy.deepcopy(norm)
    for name, tensor in (*twin.named_parameters(recurse=False), *twin.named_buffers(recurse=False)):
        if tensor.dim() != 1:
            continue
        grown = tensor.detach().new_zeros(width)
        setattr(twin, name, nn.Parameter(grown, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else grown)
    for attribute in ("num_features", "num_channels"):
        if hasattr(twin, attribute):
            setattr(twin, attribute, width)
    twin.reset_parameters()  # type: ignore[operator]
    return twin


def _norm_resized(norm: nn.Module, norm_resize: ResizeNorm) -> nn.Module:
    """``norm`` for other channels: those of each piece that are still there keep theirs, new ones start fresh."""
    twin = _fresh_norm(norm, norm_resize.channels)
    old = dict((*norm.named_parameters(recurse=False), *norm.named_buffers(recurse=False)))
    new = dict((*twin.named_parameters(recurse=False), *twin.named_buffers(recurse=False)))
    with torch.no_grad():
        for name, tensor in new.items():
            if tensor.dim() != 1:
                tensor.copy_(old[name])
                continue
            before = after = 0
            for was, now in norm_resize.pieces:
                kept = min(was, now)
                tensor[after : after + kept] = old[name][before : before + kept]
                before, after = before + was, after + now
    return twin


def _without_branch(model: nn.Module, block: Residual, *, redundant_relu: bool) -> nn.Module:
    """What stays of a block: its shortcut and what follows its sum, under their old names."""
    home = model.get_submodule(block.name)
    kept: OrderedDict[str, nn.Module] = OrderedDict()
    for name, part in block.pieces:
        module = copy.deepcopy(part) if isinstance(part, nn.Module) else home.get_submodule(part)
        if not block.shortcut and hasattr(module, "inplace"):
            setattr(module, "inplace", False)  # noqa: B010 (mypy sees no such attribute); the identity's tensor belongs to the layer before
        kept[name] = module
    if redundant_relu or not kept:
        return nn.Identity()
    return nn.Sequential(kept)
