"""Method ``triage``: one layer takes the place of each block that a person names, or of those that are worth least.

Nowak and Corso, "Deep Net Triage", arXiv 1801.04651, 2018. Which blocks can be replaced, how, and what the new layer
starts with: :mod:`cnngraph.surgery.layers.replace_block` and :mod:`cnngraph.surgery.layers.new_layers`. Afterwards the
whole net is trained (``global``) or the new layer alone, with its norm (``local``): all else stays bit for bit then.

Without names the blocks go by least criticality, as the graph holds it: what the best scheme that was tried loses
without the block (:mod:`cnngraph.pruning.worth_of_blocks`). The paper takes one block at a time; the order is ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cnngraph.errors import NotFoundError, OptionError, PlanError
from cnngraph.pruning.limits.limit import SEARCHED
from cnngraph.pruning.method import Method, Need, option
from cnngraph.vocabulary import INITS_OF_NEW_LAYERS, TRAINED

if TYPE_CHECKING:
    from cnngraph.network.graph import LayerGraph
    from cnngraph.pruning.context import Context
    from cnngraph.pruning.path import PruningPath
    from cnngraph.surgery.layers.block_parts import BlockReplacement

__all__ = ["METHOD", "Options"]


@dataclass(frozen=True)
class Options:
    """Which blocks, and what is trained afterwards."""

    replace_block: tuple[str, ...] = option((), "One 3x3 conv comes for this block; repeat it. Else by criticality.")
    train: str = option("global", "What is trained then: global, the whole net; local, the new layers.", words=TRAINED)


def find_path(context: Context, options: Options, bounds: Mapping[str, Any]) -> PruningPath:
    """The blocks that were named, as one plan; or all that can go, of the least criticality first.

    Raises:
        NotFoundError: there is no such block. PlanError: one cannot be replaced, or holds a layer to keep.
        OptionError: new weights for the whole net, of which only a part would be trained.
    """
    from cnngraph.plan import Removal
    from cnngraph.pruning.path import LayerPath
    from cnngraph.surgery.layers.replace_block import find_replacements

    if options.train == "local" and context.init == "scratch":
        raise OptionError(
            "{init=scratch} gives the whole net new weights, and {train=local} would train its new layers alone.",
            "Leave out one of them.",
        )
    if not options.replace_block:
        return _least_critical_first(context, options, bounds)
    named = tuple(Removal(layer=block, kind="replace") for block in dict.fromkeys(options.replace_block))
    graph = context.graph
    found = find_replacements(graph, context.saved.followed.blocks, named, unknown=NotFoundError)
    _require_free(found, context.keep)
    removes = tuple(
        Removal(layer=one.block, kind="replace", replacement=one.replacement, reason=_reason(one)) for one in found
    )
    base = context.empty_plan("triage", train=options.train)
    return LayerPath(base.model_copy(update={"notes": tuple(_notes(graph, found))}), removes)


def _least_critical_first(context: Context, options: Options, bounds: Mapping[str, Any]) -> PruningPath:
    """A path along the criticality that the graph holds; blocks inside of one that goes stay out of it."""
    from cnngraph.plan import Removal
    from cnngraph.pruning.path import LayerPath
    from cnngraph.pruning.worth_of_blocks import read_worth
    from cnngraph.surgery.layers.replace_block import find_replacements

    graph, blocks = context.graph, context.saved.followed.blocks
    worth = read_worth(context)
    order: list[Removal] = []
    found: tuple[BlockReplacement, ...] = ()
    notes = []
    for block in worth.order:
        removal = Removal(layer=block.block, kind="replace", score=block.criticality, reason=block.words)
        try:
            made = find_replacements(graph, blocks, (*order, removal))
            _require_free([one for one in made if one.block == block.block], context.keep)
        except PlanError as error:
            notes.append(f"{block.block} stays: {error.message}")
            continue
        (mine,) = (one for one in made if one.block == block.block)
        order.append(removal.model_copy(update={"replacement": mine.replacement}))
        found = made
    if not order:
        raise PlanError("No block of this net can be replaced.", "See why: cnngraph show NAME --blocks")
    if bounds.get("remove", 0) > len(order):
        raise PlanError(
            f"{bounds['remove']} blocks cannot be replaced: the graph knows what {len(order)} that can are worth.",
            f"Ask for fewer, or find out about more: {worth.command}",
        )
    base = context.empty_plan("triage", train=options.train, criticality=worth.settings)
    notes = [worth.note, *notes, *_notes(graph, found)]
    base = base.model_copy(update={"notes": tuple(notes)})
    return LayerPath(base, tuple(order[: bounds.get("remove")]), reckoned=False)


def _require_free(found: Sequence[BlockReplacement], keep: Mapping[str, str]) -> None:
    for one in found:
        held = next((layer for layer in keep if layer in one.gone), None)
        if held is not None:
            raise PlanError(f"The block {one.block} cannot be replaced: {held} is in it, and {keep[held]}.")


def _reason(one: BlockReplacement) -> str:
    convs = f"{len(one.convs)} conv{'s' * (len(one.convs) > 1)}"
    return f"Named by hand: {one.replacement.in_words} at {one.layer} for its {convs}."


def _notes(graph: LayerGraph, found: Sequence[BlockReplacement]) -> Iterator[str]:
    """What each new layer saves, or that it saves nothing."""
    for one in found:
        before = sum(graph.layer(conv).parameters for conv in one.convs)
        saves = "" if one.conv.parameters < before else ": nothing is saved"
        yield (
            f"{one.block}: {one.replacement.in_words} of {one.conv.parameters:,} parameters for "
            f"{len(one.convs)} conv{'s' * (len(one.convs) > 1)} of {before:,}{saves}."
        )


METHOD = Method(
    name="triage",
    removes="layers",
    summary="one layer in the place of each block named by --replace-block, or of the least critical, and trained",
    options=Options,
    limits=("remove", *SEARCHED),
    needs=lambda options: frozenset({Need.WEIGHTS} if options.replace_block else {Need.WEIGHTS, Need.GRAPH}),
    path=find_path,
    says_all="replace_block",
    implied=True,
    inits=INITS_OF_NEW_LAYERS,
    paper="Nowak & Corso 2018",
)
