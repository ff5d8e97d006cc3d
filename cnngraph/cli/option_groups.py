"""Options that belong together, declared once as the fields of a dataclass and shared by several commands."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from inspect import Parameter, Signature, signature
from typing import Any, get_type_hints

import typer.core

__all__ = ["Grouped", "spread"]


class Grouped(typer.core.TyperCommand):
    """A command whose ``--help`` lists options under headings: those of their ``rich_help_panel``."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the groups one after the other, options without a heading first."""
        groups: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for parameter in self.get_params(ctx):
            shown = parameter.get_help_record(ctx)
            if shown is not None:
                kind = "Arguments" if parameter.param_type_name == "argument" else "Options"
                groups.setdefault(getattr(parameter, "rich_help_panel", None) or kind, []).append(shown)
        for heading, rows in groups.items():
            if rows:
                with formatter.section(heading):
                    formatter.write_dl(rows)


def spread(command: Callable[..., None]) -> Callable[..., None]:
    """``command`` as the command line sees it: a parameter that is a dataclass stands as one option a field.

    Every field needs a default and is annotated as the option would be (``Annotated[..., typer.Option(...)]``).
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, type] = {}
    parameters: list[Parameter] = []
    for parameter in signature(command).parameters.values():
        kind = hints[parameter.name]
        if isinstance(kind, type) and is_dataclass(kind):
            groups[parameter.name] = kind
            parameters += _options(kind)
        else:
            parameters.append(parameter.replace(annotation=kind))

    def run(**values: Any) -> None:
        for name, kind in groups.items():
            values[name] = kind(**{field.name: values.pop(field.name) for field in fields(kind)})
        command(**values)

    run.__name__, run.__doc__, run.__module__ = command.__name__, command.__doc__, command.__module__
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    run.__signature__ = Signature(parameters)  # type: ignore[attr-defined]  # read by inspect.signature
    return run


def _options(group: Any) -> list[Parameter]:
    # Module globals named outright: by default a class's own names come first, and lambdas would see only those.
    hints = get_type_hints(group, globalns=vars(sys.modules[group.__module__]), include_extras=True)
    bare = [field.name for field in fields(group) if field.default is MISSING]
    if bare:
        raise TypeError(f"{group.__name__}.{bare[0]} has no default")
    return [
        Parameter(field.name, Parameter.POSITIONAL_OR_KEYWORD, default=field.default, annotation=hints[field.name])
        for field in fields(group)
    ]
