"""Objectives that cannot be run are refused before any data is read, and told what would work."""

from typing import Any

import pytest

from mtrec import config
from mtrec.errors import ConfigError


def values(objective: dict[str, Any], architecture: str = "mmoe", num_tasks: int = 2, **task: Any) -> dict[str, Any]:
    return {
        "name": "shop",
        "log": {"source": "log.parquet", "split": {"by": "column", "column": "split"}},
        "features": {"ids": ["item_id"]},
        "tasks": {name: {"label": f"is_{name}", **task} for name in ("click", "buy")[:num_tasks]},
        "model": {"architecture": architecture},
        "objective": objective,
    }


@pytest.mark.parametrize(
    ("objective", "architecture", "num_tasks", "told"),
    [
        ({"aggregator": "pcgrad"}, "mmoe", 1, "objective.aggregator: there is one task"),
        ({"aggregator": "mgda"}, "single_task", 2, "objective.aggregator: 'single_task' parts the tasks before"),
        ({"aggregator": "pcgrd"}, "mmoe", 2, "Did you mean 'pcgrad'?"),
        ({"weighting": {"kind": "fixed", "weights": [1.0]}}, "mmoe", 2, "there are 1 weights. Expected 2, one a task (click, buy)"),
        ({"weighting": {"kind": "gradnorm", "norms": "last_layer"}}, "single_task", 2, "take `cut`, or one of the architectures adatt"),
        ({"weighting": {"kind": "gradnorm", "beta": 1.0}}, "mmoe", 2, "objective.weighting.beta: unknown key"),
    ],
)
def test_refused(objective: dict[str, Any], architecture: str, num_tasks: int, told: str) -> None:
    with pytest.raises(ConfigError) as found:
        config.parse(values(objective, architecture, num_tasks))
    assert told in str(found.value)


@pytest.mark.parametrize("architecture", ["mmoe", "ple", "home", "shared_bottom", "adatt", "cross_stitch"])
def test_taken(architecture: str) -> None:
    objective = {"weighting": {"kind": "gradnorm", "norms": "last_layer"}, "aggregator": "cagrad"}
    run = config.parse(values(objective, architecture))
    assert config.parse(config.dump(run)) == run
    assert config.dump(run)["objective"]["aggregator"] == {"kind": "cagrad", "c": 0.5}


@pytest.mark.parametrize(
    ("task", "told"),
    [
        ({"loss": "mse"}, "Expected one of bce, focal, pairwise_auc."),
        ({"kind": "regression", "loss": "focal"}, "Expected one of huber, mse."),
        ({"loss": {"kind": "bce", "smoothing": 0.1}, "positive_weight": 2.0}, "with the loss bce, without smoothing"),
        ({"loss": "focal", "positive_weight": 2.0}, "with the loss bce, without smoothing"),
    ],
)
def test_losses_that_do_not_fit_are_refused(task: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as found:
        config.parse(values({}, **task))
    assert told in str(found.value)
