"""A net as ``torch.export`` takes it, whatever its parts are called.

An exported program is run by Python code in which the names of weights are attributes: one called ``class`` is
exported and saved, and cannot be opened (torch 2.15). Such names get another spelling inside of the program.
"""

from __future__ import annotations

import keyword
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["exported"]


def exported(model: nn.Module, images: Tensor, **options: Any) -> torch.export.ExportedProgram:
    """``torch.export.export(model, (images,), **options)``; raises what it raises."""
    program = torch.export.export(model, (images,), **options)
    held: tuple[dict[str, Any], ...] = (program.state_dict, program.constants)
    names = _names({name for tensors in held for name in tensors})
    if all(name == new for name, new in names.items()):
        return program
    for spec in program.graph_signature.input_specs:
        if spec.target is not None:
            spec.target = names.get(spec.target, spec.target)
    for tensors in held:
        found = [(names[name], tensor) for name, tensor in tensors.items()]
        tensors.clear()
        tensors.update(found)
    return program


def _names(names: set[str]) -> dict[str, str]:
    """By name the one that Python can read as attributes of attributes: itself, mostly.

    >>> _names({"heads.class.weight", "heads.class_.weight"})["heads.class.weight"]
    'heads.class__.weight'
    """
    found = {name: name for name in names if all(map(_is_plain, name.split(".")))}
    for name in sorted(names - found.keys()):
        tail = "_"
        while (new := ".".join(_readable(part, tail) for part in name.split("."))) in found.values():
            tail += "_"
        found[name] = new
    return found


def _readable(part: str, tail: str) -> str:
    return part if _is_plain(part) else "".join(one if one.isalnum() else "_" for one in part) + tail


def _is_plain(part: str) -> bool:
    """Whether torch writes the part of a path as Python that says the same."""
    return not (keyword.iskeyword(part) or set(part) & set('"\\\n\r'))
