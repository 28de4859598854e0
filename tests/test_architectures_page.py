"""docs/architectures.md says of each architecture what the code does."""

import re
from pathlib import Path
from typing import Any

import pytest

from mtrec import registry
from mtrec.jobs.listing import example_parameters
from mtrec.model.drawing import draw
from mtrec.testing.architecture_case import build

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/architectures.md").read_text(encoding="utf-8")
COST = (ROOT / "benchmarks/results/architecture_cost.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"(?ms)^## (\S+)\n(.*?)(?=^## |\Z)", PAGE))


def drawing(name: str, num_units: int | None = None, **options: Any) -> str:
    part, config = registry.part("architectures", name)
    return f"```\n{draw(build(part, config(**options), num_units=num_units))}```\n"


@pytest.mark.parametrize("name", registry.names("architectures"))
def test_it_is_drawn_as_it_is_built(name: str) -> None:
    assert drawing(name) in SECTIONS[name]


def test_stem_is_drawn_as_it_is_built() -> None:
    assert drawing("ple", 4, stop_other_tasks=True, expert_hidden=[64]) in SECTIONS["ple"]


@pytest.mark.parametrize("name", registry.names("architectures"))
def test_its_parameters_are_those_of_the_code(name: str) -> None:
    part, config = registry.part("architectures", name)
    assert f"| {name} | {example_parameters(part, config()):,} |" in PAGE


def test_the_costs_are_those_that_were_measured() -> None:
    _, _, machine, _, *table = COST.splitlines()
    assert machine in PAGE
    assert "\n".join(table) in PAGE


@pytest.mark.parametrize("folder", ["encoders", "gates", "poolings"])
def test_the_other_parts_are_named(folder: str) -> None:
    section = SECTIONS[folder.capitalize()]
    assert re.findall(r"(?m)^\| `(\w+)` \|", section) and set(re.findall(r"(?m)^\| `(\w+)` \|", section)) == set(registry.names(folder))
