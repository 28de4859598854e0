"""`mtrec list`: the parts of a folder, each with its idea and options."""

import importlib
import inspect
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from rich.markup import escape
from rich.table import Table

from mtrec import registry
from mtrec.schema import Part

__all__ = ["example_parameters", "list_parts"]

_CAPTION = "parameters: of the defaults, for 4 tasks in 2 categories and an input of 256 numbers, or of 20 tokens of 16"


def list_parts(folder: str) -> Table:
    """A table of the parts: name, idea (the first line of the part's own words), paper, options with their defaults.

    Architectures and encoders also say what they read of a batch, architectures how many parameters they have.

    Raises:
        ConfigError: if there is no such kind of part; the kinds are named.
    """
    parts = {name: registry.part(folder, name) for name in registry.names(folder)}
    reads, counts = folder in ("architectures", "encoders"), folder == "architectures"
    heads = ["name", "idea", *["needs"] * reads, *["parameters"] * counts, "options"]
    table = Table(*heads, title=folder, caption=_CAPTION if counts else None)
    for name, (part, config) in parts.items():
        idea = (inspect.getdoc(importlib.import_module(part.__module__)) or "").split("\n\n")[0]
        paper = getattr(part, "paper", None)
        options = ", ".join(f"{key}={_default(field)}" for key, field in config.model_fields.items())
        cells = [name, f"{escape(idea)}\n[dim]{escape(paper)}[/dim]" if paper else escape(idea)]
        if reads:
            cells.append(", ".join(sorted(part.requires)))
        if counts:
            cells.append(f"{example_parameters(part, config()):,}")
        table.add_row(*cells, escape(options))
    return table


def example_parameters(architecture: type[Any], config: BaseModel) -> int:
    """The parameters for 4 tasks in 2 categories, and an input of 256 numbers, or 20 tokens of 16 for an architecture that reads tokens."""
    width, num_units = (16, 20) if "fields" in architecture.requires else (256, 1)
    more = {"categories": [0, 0, 1, 1]} if getattr(architecture, "needs_categories", False) else {}
    return int(architecture.num_parameters(width, num_units, 4, config, **more))


def _default(field: FieldInfo) -> object:
    default = "required" if field.is_required() else field.get_default(call_default_factory=True)
    return default.kind if isinstance(default, Part) else default
