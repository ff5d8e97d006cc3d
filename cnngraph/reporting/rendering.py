"""The templates of pages: what they show is escaped, and all that a page needs is in its one file."""

from __future__ import annotations

from typing import Any

__all__ = ["render"]


def render(template: str, **values: Any) -> str:
    """The HTML of a template of this room."""
    from jinja2 import Environment, PackageLoader

    environment = Environment(
        loader=PackageLoader("cnngraph.reporting", "templates"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template(template).render(**values)
