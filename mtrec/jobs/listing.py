"""`mtrec list`: the parts of a folder, each with its idea and options."""

import importlib
import inspect

from pydantic.fields import FieldInfo
from rich.markup import escape
from rich.table import Table

from mtrec import registry

__all__ = ["list_parts"]


def list_parts(folder: str) -> Table:
    """A table of the parts: name, idea (the first line of the part's own words), paper, options with their defaults.

    Raises:
        ConfigError: if there is no such kind of part; the kinds are named.
    """
    table = Table("name", "idea", "options", title=folder)
    for name in registry.names(folder):
        part, config = registry.part(folder, name)
        idea = (inspect.getdoc(importlib.import_module(part.__module__)) or "").split("\n\n")[0]
        paper = getattr(part, "paper", None)
        options = ", ".join(f"{key}={_default(field)}" for key, field in config.model_fields.items())
        table.add_row(name, f"{escape(idea)}\n[dim]{escape(paper)}[/dim]" if paper else escape(idea), escape(options))
    return table


def _default(field: FieldInfo) -> object:
    return "required" if field.is_required() else field.get_default(call_default_factory=True)
