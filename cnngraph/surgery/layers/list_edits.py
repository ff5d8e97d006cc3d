"""The edits that removing layers and blocks comes to, in the order in which they are applied."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from cnngraph.surgery.edits import Edit
from cnngraph.surgery.layers.incision import Incision, Resize
from cnngraph.surgery.layers.passage import Copy

__all__ = ["list_edits"]


def list_edits(incision: Incision) -> tuple[Edit, ...]:
    """Everything that changes in the net when what ``incision`` removes goes."""
    asked = incision.asked
    edits = [edit for path, resize in incision.resized.items() for edit in _resize(path, resize, asked)]
    edits += [
        Edit("resize norm", path, f"what it scales has {renorm.channels} channels now", asked, renorm)
        for path, renorm in incision.renormed.items()
    ]
    edits += [_at_gap(incision, path, passage) for path, passage in incision.passages.items()]
    edits += [Edit("remove", path, _why_removed(incision), asked) for path in incision.silenced]
    return (*edits, *_bypasses(incision))


def _resize(path: str, resize: Resize, asked: tuple[str, ...]) -> Iterator[Edit]:
    reason = f"it reads {resize.inputs} and gives {resize.outputs} channels now, as what is around it needs"
    yield Edit("resize", path, reason, asked, resize)
    if resize.norm is not None:
        taken = f"that of {resize.norm_of}, which goes, fits" if resize.norm_of else "no norm that goes fits"
        yield Edit("new norm", resize.norm, f"{path} gives {resize.outputs} channels now: {taken}", asked, resize)


def _at_gap(incision: Incision, path: str, passage: nn.Module) -> Edit:
    why = _why_gone(incision, path)
    asked = (path,) if path in incision.asked else incision.asked
    if path in incision.opened:
        return Edit("open gate", path, why, asked)
    if path in incision.left_out:
        return Edit("leave out", path, why, asked, (incision.left_out[path], passage))
    if path in incision.adapters:
        filling = incision.adapters[path]
        width = f"{why}; what reads it needs {filling.outputs} channels and not {filling.inputs}"
        return Edit("adapter", path, width, asked, (filling, passage))
    if isinstance(passage, nn.Identity | Copy):
        return Edit("replace", path, why, asked, passage)
    return Edit("replace", path, f"{why}; {passage} gives maps of the size that the rest needs", asked, passage)


def _why_gone(incision: Incision, path: str) -> str:
    if path in incision.asked:
        return "the plan removes it"
    if path in incision.along:
        return f"it goes with {', '.join(incision.asked)}: half of what they do together makes no sense"
    return f"it is part of what goes with {', '.join(incision.asked)}"


def _why_removed(incision: Incision) -> str:
    return f"it belongs to what goes with {', '.join(incision.asked)}, or nothing but that depends on it"


def _bypasses(incision: Incision) -> Iterator[Edit]:
    for block in incision.blocks:
        if block.name in incision.asked:
            reason, asked = "the plan removes the block", [block.name]
        else:
            reason, asked = "all convs of its branch go", [str(node.target) for node in block.branch_convs]
        yield Edit("bypass", block.name, reason, tuple(asked), (block, block.name in incision.rectified))
