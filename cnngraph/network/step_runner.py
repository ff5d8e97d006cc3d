"""A followed net as a module that runs its steps one by one; no Python code is made of it.

``torch.fx`` writes a forward of its own, in which the paths of modules are attributes: parts called ``class`` or
``it's`` make that no Python (torch 2.15). Nothing here needs that code, so modules keep whatever names they have.
"""

from __future__ import annotations

from typing import Any

from torch import fx, nn
from torch.fx.graph import PythonCode

from cnngraph.errors import TraceError

__all__ = ["StepRunner"]

_TAKEN = (set(dir(fx.GraphModule)) | {"meta"}) - set(dir(nn.Module))  # a part of this name would hide the graph's own


class StepRunner(fx.GraphModule):
    """The steps of ``graph`` on the modules and tensors of ``root``, by the names that they have there.

    Raises:
        TraceError: a part of the net has a name that ``torch.fx`` keeps for itself.
    """

    def __init__(self, root: nn.Module | dict[str, Any], graph: fx.Graph, class_name: str) -> None:
        used = {str(node.target).split(".")[0] for node in graph.nodes if node.op in {"call_module", "get_attr"}}
        if used & _TAKEN:
            name = min(used & _TAKEN)
            raise TraceError(
                f"{class_name} cannot be followed: its part {name} has a name that torch.fx keeps for itself.",
                f"Give it another one, such as {name}_.",
            )
        super().__init__(root, graph, class_name)

    def recompile(self) -> PythonCode:
        """Nothing: see above."""
        return PythonCode(src="", globals={}, _lineno_map={}, _prologue_start=0)

    def forward(self, *args: Any) -> Any:
        """What the net gives."""
        return fx.Interpreter(self).run(*args)
