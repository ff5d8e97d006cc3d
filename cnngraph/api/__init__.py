"""What ``import cnngraph as cg`` offers; the commands are thin over the same functions.

    network = cg.trace(model, loader)
    with cg.connect() as graph:
        graph.write(network, "mine")
        graph.measure("mine", "degree")
        plan = graph.plan("mine", method="multilayer", threshold=0.3)
        graph.prune("stored", ratio=0.3, as_name="slim")
    slim = cg.apply(model, plan)
    cg.verify(model, slim, plan)
    cg.save(slim, "slim/")
    cg.export(slim, "slim.onnx", format="onnx")

``trace``, ``apply``, ``verify``, ``compare``, ``save``, ``load`` and ``export`` need no database. :class:`Graph` is one
open database and everything that can be done with its models. The commands call it, and :mod:`cnngraph.api.offline` for
what needs no database.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from cnngraph.api.graph import Graph
from cnngraph.errors import CnngraphError
from cnngraph.pruning.registry import METHODS
from cnngraph.settings import load_settings

if TYPE_CHECKING:
    from cnngraph.api.nets import plan_filters, save, trace, verify
    from cnngraph.api.two_nets import compare
    from cnngraph.models.masks import get_masks, keep_zeros
    from cnngraph.network.tables import Network
    from cnngraph.origin import Preprocessing, get_preprocessing
    from cnngraph.plan import Plan, Removal, read_plan, write_plan
    from cnngraph.shipping.export import export
    from cnngraph.surgery.apply import apply
    from cnngraph.surgery.channels.coupling import coupled
    from cnngraph.surgery.channels.filter_scores import score_filters
    from cnngraph.surgery.reconstruct import reconstruct
    from cnngraph.surgery.saved import load
    from cnngraph.surgery.verify import Verification

__all__ = [
    "METHODS",
    "CnngraphError",
    "Graph",
    "Network",
    "Plan",
    "Preprocessing",
    "Removal",
    "Verification",
    "apply",
    "compare",
    "connect",
    "coupled",
    "export",
    "get_masks",
    "get_preprocessing",
    "keep_zeros",
    "load",
    "plan_filters",
    "read_plan",
    "reconstruct",
    "save",
    "score_filters",
    "trace",
    "verify",
    "write_plan",
]

# The torch side costs seconds to import, so `cnngraph list` must not: these are loaded when they are first used.
_HOMES = {
    "Network": "cnngraph.network.tables",
    "Plan": "cnngraph.plan",
    "Preprocessing": "cnngraph.origin",
    "Removal": "cnngraph.plan",
    "Verification": "cnngraph.surgery.verify",
    "apply": "cnngraph.surgery.apply",
    "compare": "cnngraph.api.two_nets",
    "coupled": "cnngraph.surgery.channels.coupling",
    "export": "cnngraph.shipping.export",
    "get_masks": "cnngraph.models.masks",
    "get_preprocessing": "cnngraph.origin",
    "keep_zeros": "cnngraph.models.masks",
    "load": "cnngraph.surgery.saved",
    "plan_filters": "cnngraph.api.nets",
    "read_plan": "cnngraph.plan",
    "reconstruct": "cnngraph.surgery.reconstruct",
    "save": "cnngraph.api.nets",
    "score_filters": "cnngraph.surgery.channels.filter_scores",
    "trace": "cnngraph.api.nets",
    "verify": "cnngraph.api.nets",
    "write_plan": "cnngraph.plan",
}


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})


if not TYPE_CHECKING:  # else every misspelt name would be one of type Any

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module 'cnngraph.api' has no attribute {name!r}")
        return getattr(import_module(_HOMES[name]), name)


def connect(
    uri: str | None = None,
    *,
    auth: tuple[str, str] | None = None,
    database: str | None = None,
    owner: str | None = None,
    profile: str | None = None,
) -> Graph:
    """Open the graph database that the settings name; without any, the embedded server is started.

    Args:
        uri: ``neo4j://...``, ``bolt://...``, ``neo4j+s://...``; default: environment, ``.env``, profile, embedded.
        auth: (user name, password).

    Raises:
        DatabaseError: it cannot be reached or refuses; the message says what to do.
    """
    username, password = auth or (None, None)
    return Graph.open(
        load_settings(uri=uri, username=username, password=password, database=database, owner=owner, profile=profile)
    )
