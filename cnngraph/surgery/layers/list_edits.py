"""The edits that removing layers and blocks comes to, in the order in which they are applied."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from cnngraph.surgery.edits import Edit
from cnngraph.surgery.layers.bypass import Copy
from cnngraph.surgery.layers.rewrite import Resize, Rewrite

__all__ = ["list_edits"]


def list_edits(rewrite: Rewrite) -> tuple[Edit, ...]:
    """List every change that ``rewrite`` makes to the net, in the order in which they are applied."""
    asked = rewrite.asked
    edits = [edit for path, resize in rewrite.resized.items() for edit in _resize(path, resize, asked)]
    edits += [
        Edit("resize norm", path, f"what it scales has {norm_resize.channels} channels now", asked, norm_resize)
        for path, norm_resize in rewrite.resized_norms.items()
    ]
    edits += [_at_gap(rewrite, path, bypass) for path, bypass in rewrite.bypasses.items()]
    edits += [Edit("remove", path, _why_removed(rewrite), asked) for path in rewrite.removed_norms_and_activations]
    return (*edits, *_bypasses(rewrite))


def _resize(path: str, resize: Resize, asked: tuple[str, ...]) -> Iterator[Edit]:
    reason = f"it reads {resize.inputs} and gives {resize.outputs} channels now, as what is around it needs"
    yield Edit("resize", path, reason, asked, resize)
    if resize.norm is not None:
        taken = f"that of {resize.norm_of}, which goes, fits" if resize.norm_of else "no norm that goes fits"
        yield Edit("new norm", resize.norm, f"{path} gives {resize.outputs} channels now: {taken}", asked, resize)


def _at_gap(rewrite: Rewrite, path: str, bypass: nn.Module) -> Edit:
    why = _why_gone(rewrite, path)
    asked = (path,) if path in rewrite.asked else rewrite.asked
    if path in rewrite.opened:
        return Edit("open gate", path, why, asked)
    if path in rewrite.left_out:
        return Edit("leave out", path, why, asked, (rewrite.left_out[path], bypass))
    if path in rewrite.adapters:
        spec = rewrite.adapters[path]
        width = f"{why}; what reads it needs {spec.outputs} channels and not {spec.inputs}"
        return Edit("adapter", path, width, asked, (spec, bypass))
    if isinstance(bypass, nn.Identity | Copy):
        return Edit("replace", path, why, asked, bypass)
    return Edit("replace", path, f"{why}; {bypass} gives maps of the size that the rest needs", asked, bypass)


def _why_gone(rewrite: Rewrite, path: str) -> str:
    if path in rewrite.asked:
        return "the plan removes it"
    if path in rewrite.along:
        return f"it goes with {', '.join(rewrite.asked)}: half of what they do together makes no sense"
    return f"it is part of what goes with {', '.join(rewrite.asked)}"


def _why_removed(rewrite: Rewrite) -> str:
    return f"it belongs to what goes with {', '.join(rewrite.asked)}, or nothing but that depends on it"


def _bypasses(rewrite: Rewrite) -> Iterator[Edit]:
    for block in rewrite.blocks:
        if block.name in rewrite.asked:
            reason, asked = "the plan removes the block", [block.name]
        else:
            reason, asked = "all convs of its branch go", [str(node.target) for node in block.branch_convs]
        yield Edit("bypass", block.name, reason, tuple(asked), (block, block.name in rewrite.redundant_relu))
