"""The compared configurations are alike in all but the model, and of one size."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from benchmarks.architecture_configs import FOLDER, ROWS, SETS, TOLERANCE, committed, config_of, num_dense, rows_of, width_for
from mtrec import registry
from mtrec.config import Config, dump, load, parse

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.fixture(scope="module")
def texts() -> dict[Path, str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        return committed()


def test_the_committed_files_are_what_is_written(texts: dict[Path, str]) -> None:
    assert {path: path.read_text(encoding="utf-8") for path in FOLDER.iterdir()} == texts


def test_they_differ_from_their_set_in_the_model_alone(texts: dict[Path, str]) -> None:
    bases = {name: dump(load(f"configs/{name}.yaml")) for name in ("complete_journey", "kuairand")}
    for path, text in texts.items():
        (base,) = [values for name, values in bases.items() if path.name.startswith(name)]
        found = dump(parse(yaml.safe_load(text)))
        tasks = {name: task | {"category": None} for name, task in found["tasks"].items()}
        model = found["model"] | {key: base["model"][key] for key in ("architecture", "encoder")}
        assert found | {"name": base["name"], "tasks": tasks, "model": model} == base
        assert any(task["category"] for task in found["tasks"].values()) == path.stem.endswith("_home")


def test_they_have_as_many_parameters(texts: dict[Path, str]) -> None:
    for name in ("complete_journey", "kuairand"):
        counts = {row: num_dense(parse(yaml.safe_load(texts[FOLDER / f"{name}_{row}.yaml"])), SETS[name]) for row in rows_of(name)}
        budget = num_dense(load(f"configs/{name}.yaml"), SETS[name])
        assert counts["mmoe"] == budget
        off = {row: count for row, count in counts.items() if ROWS[row].has_budget and abs(count - budget) > TOLERANCE * budget}
        assert off == {}


def test_every_architecture_and_encoder_is_compared() -> None:
    parsed = [parts.architecture(4, 2)["kind"] for parts in ROWS.values()]
    assert set(parsed) == set(registry.names("architectures"))
    assert {parts.encoder["kind"] for parts in ROWS.values()} == set(registry.names("encoders"))


def test_a_set_without_ids_has_no_rows_that_read_them() -> None:
    assert "mmoe" in rows_of("synthetic_sine")
    for row in rows_of("synthetic_sine"):
        assert "hidden" in config_of("synthetic_sine", row)
        assert "encoder" not in yaml.safe_load(config_of("synthetic_sine", row))["model"]


@pytest.mark.parametrize(("budget", "expected"), [(100, 10), (101, 10), (110, 10), (111, 11), (121, 11), (1_000_000, 1000), (1, 1)])
def test_the_nearest_width_is_found(budget: int, expected: int) -> None:
    assert width_for(lambda w: w**2, budget) == expected


@pytest.mark.parametrize("num_parameters", [lambda w: 100 + w, lambda w: 1000 * w])
def test_a_budget_that_no_width_meets_is_refused(num_parameters: Callable[[int], int]) -> None:
    with pytest.raises(ValueError, match="near the budget of 50"):
        width_for(num_parameters, 50)


def test_the_count_is_by_hand() -> None:
    """Shared bottom on 100 numbers: bottom 100 -> 24, two towers 24 -> 1."""
    config: Config = parse(yaml.safe_load(config_of("synthetic_sine", "shared_bottom")))
    assert config.model.architecture.options["hidden"] == [24]
    assert num_dense(config, SETS["synthetic_sine"]) == 101 * 24 + 2 * 25
