"""Weights that do not fit a net: what is wrong in one line, and what the usual reason says is to be done."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from cnngraph.errors import ModelError

__all__ = ["misfit", "require_readable"]

_SHAPES = 3  # how many are told in full where they differ; the others are named
_THIS_NET = "Give weights of this very net, or name the architecture that they were trained in."
_PLACE = re.compile(r"(?:^|\.)\d+$")
# Names that a way of saving leaves in a file: what the file holds then, and what to do.
_WAYS: tuple[tuple[re.Pattern[str], str, str], ...] = (
    (
        re.compile(r"_packed_params|\.(?:qweight|qzeros|absmax|SCB|zero_point)$|\.weight_scale$"),
        "holds quantised weights",
        "Give the float weights that they were made from.",
    ),
    (
        re.compile(r"(?:^|\.)_?flat_param"),
        "holds the flat parameters of one process of FSDP",
        "Save the full state dict: get_model_state_dict(model, options=StateDictOptions(full_state_dict=True)).",
    ),
    (
        re.compile(r"_(?:orig|mask)$"),
        "was saved with the masks of torch.nn.utils.prune",
        'Call torch.nn.utils.prune.remove(module, "weight") on each pruned module, and save again.',
    ),
    (
        re.compile(r"\.parametrizations\.|\.weight_[guv]$"),
        "was saved with parametrised weights (weight or spectral norm)",
        "Call torch.nn.utils.parametrize.remove_parametrizations on each such module, and save again.",
    ),
    (
        re.compile(r"\.lora_(?:[AB]|embedding|magnitude)"),
        "holds a LoRA adapter, not the weights of a net",
        "Merge it into the net (merge_and_unload), and save that.",
    ),
    (
        re.compile(r"(?:^|[/.])(?:kernel|moving_mean|moving_variance|depthwise_kernel)(?::0)?$"),
        "names its tensors as TensorFlow and JAX do",
        "Convert them: PyTorch's names, and kernel.permute(3, 2, 0, 1) for the order of a conv's axes.",
    ),
)


def misfit(
    where: str,
    given: Mapping[str, Tensor],
    wanted: Mapping[str, Tensor],
    missing: Sequence[str],
    extra: Sequence[str],
    misshapen: Sequence[str],
    head: Sequence[str],
) -> ModelError:
    """The error that says how ``given`` and ``wanted`` tensors differ.

    Args:
        where: names the given ones.
        missing, extra, misshapen: their names.
        head: the modules that give the net's output.
    """
    known = _known(given, wanted, missing, extra, misshapen)
    if known is not None:
        what, hint = known
        return ModelError(f"{where} {what}.", hint)
    parts = [f"it lacks {_each(missing)}"] if missing else []
    parts += [f"it has unknown {_each(extra)}"] if extra else []
    parts += [
        f"{key} is {tuple(given[key].shape)}, the net needs {tuple(wanted[key].shape)}" for key in misshapen[:_SHAPES]
    ]
    parts += [f"of other shapes, too, are {_each(misshapen[_SHAPES:])}"] if misshapen[_SHAPES:] else []
    if missing and len(extra) > _SHAPES and 2 * len(missing) > len(wanted):  # another net: lists would say less
        count = len(given) - len(extra)
        some = f"{count} of its {len(wanted)} tensors; it lacks" if count else "none of its tensors,"
        parts = [f"it has {some} such as {missing[0]}, {'and has' if count else 'but'} others, such as {extra[0]}"]
    return ModelError(f"{where} does not fit the net: {'; '.join(parts)}.", _advice(missing, extra, head))


def _advice(missing: Sequence[str], extra: Sequence[str], head: Sequence[str]) -> str:
    if missing and not extra and {name.rpartition(".")[0] for name in missing} <= set(head):
        return "Give the net an untrained output layer: --new-head, of train and ingest."
    return _THIS_NET if missing or extra else "Check the architecture, --size, --width and the input channels."


def _known(
    given: Mapping[str, Tensor],
    wanted: Mapping[str, Tensor],
    missing: Sequence[str],
    extra: Sequence[str],
    misshapen: Sequence[str],
) -> tuple[str, str] | None:
    """What a file holds that was saved in a way that is known, and what to do."""
    for pattern, what, hint in _WAYS:
        found = next((name for name in extra if pattern.search(name)), None)
        if found is not None and missing:
            return f"{what}, such as {found}", hint
    if missing and extra and len(extra) == len(given) and all(map(_PLACE.search, extra)):
        return (
            f"holds tensors by their places, without names ({_PLACE.sub('', extra[0]) or 'a list'})",
            "Copy them into the net with the program that wrote them, and save model.state_dict().",
        )
    if misshapen and all(given[name].shape == (0,) for name in misshapen):
        return (
            f"holds an empty tensor for {misshapen[0]}: DeepSpeed (ZeRO 3) keeps the values in other files",
            "Gather them: python zero_to_fp32.py FOLDER FILE, which DeepSpeed wrote beside them.",
        )
    if misshapen and all(_turned(given[name], wanted[name]) for name in misshapen):
        name = misshapen[0]
        shapes = f"{name} is {tuple(given[name].shape)}, the net needs {tuple(wanted[name].shape)}"
        return (
            f"has the axes of its tensors in another order: {shapes}",
            "They are TensorFlow's: turn them with kernel.permute(3, 2, 0, 1), and dense weights with .T.",
        )
    return None


def _turned(given: Tensor, wanted: Tensor) -> bool:
    order = {2: (1, 0), 4: (3, 2, 0, 1)}.get(given.dim())
    return order is not None and tuple(given.shape[axis] for axis in order) == tuple(wanted.shape)


def _each(names: Sequence[str]) -> str:
    """Every name, those of one module together: a net that is off by a layer lacks many."""
    modules: dict[str, list[str]] = {}
    for name in names:
        modules.setdefault(name.rpartition(".")[0], []).append(name)
    return ", ".join(
        f"{module} ({', '.join(name.rpartition('.')[2] for name in own)})" if module and own[1:] else ", ".join(own)
        for module, own in modules.items()
    )


def require_readable(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor], where: str) -> None:
    """Raise ModelError, naming the first, where copying a tensor would change what it says: whole numbers that stand
    for floats by a scale kept elsewhere, floats of 8 bits, complex numbers, or no values at all."""
    for name, tensor in given.items():
        if tensor.is_meta:
            raise ModelError(f"{where} has no values for {name}: it was saved from the meta device.", "Save it loaded.")
        if tensor.is_quantized or (
            wanted[name].is_floating_point() and (not tensor.is_floating_point() or tensor.itemsize < 2)
        ):
            types = [str(one.dtype).removeprefix("torch.") for one in (tensor, wanted[name])]
            raise ModelError(
                f"{where} has {types[0]} values for {name}, the net has {types[1]}: "
                f"{'complex' if tensor.is_complex() else 'quantised'} weights are not read.",
                "Give the float weights that they were made from.",
            )
        if tensor.layout is not torch.strided:
            raise ModelError(f"{where} has a sparse tensor for {name}.", "Save it with .to_dense().")
