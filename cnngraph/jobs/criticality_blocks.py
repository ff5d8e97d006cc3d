"""Which blocks of a net are tried by which schemes, and what is done to each: the plan of a trial."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cnngraph.errors import NotFoundError, PlanError, nearest
from cnngraph.jobs.schemes import Scheme
from cnngraph.plan import Plan, Removal

if TYPE_CHECKING:
    from cnngraph.network.blocks import Block
    from cnngraph.network.followed_net import FollowedNet

__all__ = ["Reasons", "choose_blocks", "options_of_prune", "plan_without"]

Reasons = dict[str, dict[str, str]]  # by block, the schemes that it cannot be tried by, with the reason


def plan_without(block: Block, scheme: Scheme, net: FollowedNet) -> Plan:
    """What a scheme does to a block before any training; a stage goes conv by conv."""
    reason = f"scheme {scheme.name}"
    if scheme.replaces:
        removes = [Removal(layer=block.name, kind="replace", reason=reason)]
    elif block.kind == "stage":
        convs = [name for name in block.layers if net.graph.by_name[name].kind == "Conv"]
        removes = [Removal(layer=name, reason=reason) for name in convs]
    else:
        removes = [Removal(layer=block.name, kind="block", reason=reason)]
    return Plan(method="criticality", init=scheme.init, removes=tuple(removes))


def options_of_prune(block: Block, scheme: Scheme, net: FollowedNet) -> str | None:
    """How ``cnngraph prune`` does to a block what a scheme does; ``None`` where it cannot: it has no teacher."""
    if scheme.distils:
        return None
    if scheme.replaces:
        init = "" if scheme.init == "least-squares" else f" --init {scheme.init}"
        local = " --train local" if scheme.trains == "layer" else ""
        return f"--method triage --replace-block {block.name}{init}{local}"
    removes = plan_without(block, scheme, net).removes
    named = " ".join(f"--remove-{removal.kind} {removal.layer}" for removal in removes)
    return named if scheme.is_trained else f"{named} --no-retrain"


def choose_blocks(
    net: FollowedNet, model: str, named: Sequence[str], schemes: Sequence[Scheme]
) -> tuple[tuple[Block, ...], Reasons]:
    """The blocks that were asked for, in network order, and why some cannot be tried by some schemes.

    Args:
        named: none: all blocks that lie in no other one.

    Raises:
        NotFoundError: there is no such block.
        PlanError: the net has none; or no scheme can be tried on any, or on one that was named.
    """
    known = {block.name: block for block in net.blocks}
    strange = next((name for name in named if name not in known), None)
    if strange is not None:
        raise NotFoundError(f"{model} has no block {strange!r}.", nearest(strange, known))
    if not known:
        raise PlanError(f"{model} has no blocks.", "See what can go by itself: cnngraph plan NAME --schedule")
    chosen = tuple(block for block in known.values() if (block.name in named if named else block.parent is None))
    reasons = {block.name: _reasons(block, schemes, net) for block in chosen}
    refused = [name for name, found in reasons.items() if len(found) == len(schemes)]
    if refused and (named or len(refused) == len(chosen)):
        hint = "Name another block." if named else "See them: cnngraph show NAME --blocks"
        raise PlanError(f"{refused[0]} cannot be tried: {next(iter(reasons[refused[0]].values()))}", hint)
    return chosen, reasons


def _reasons(block: Block, schemes: Sequence[Scheme], net: FollowedNet) -> dict[str, str]:
    """The schemes by which a block cannot be tried."""
    from cnngraph.surgery.check import check

    found: dict[str, str] = {}
    for replaces in (False, True):
        alike = [scheme for scheme in schemes if scheme.replaces is replaces]
        if not alike:
            continue
        try:
            check(net.graph, plan_without(block, alike[0], net))
        except PlanError as error:
            found |= {scheme.name: error.message for scheme in alike}
    return found
