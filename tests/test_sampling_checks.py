"""Faults of sampling, class weights and vectors in a configuration."""

from typing import Any

import pytest

from mtrec import config
from mtrec.errors import ConfigError

TASKS = {"click": {"label": "c"}, "seconds": {"label": "s", "kind": "regression"}}


def values(log: Any = (), tasks: Any = (), features: Any = ()) -> dict[str, Any]:
    section = {"source": "a", "split": {"by": "column", "column": "split"}, **dict(log)}
    return {"name": "shop", "log": section, "features": {"ids": ["item"], **dict(features)}, "tasks": {**TASKS, **dict(tasks)}}


def faults(**sections: Any) -> str:
    with pytest.raises(ConfigError) as found:
        config.parse(values(**sections))
    return str(found.value)


@pytest.mark.parametrize(
    ("sections", "fault"),
    [
        ({"log": {"sample": {"task": "klick", "negatives": 0.1}}}, "log.sample.task: there is no task 'klick'. Did you mean 'click'?"),
        ({"log": {"sample": {"task": "seconds", "negatives": 0.1}}}, "log.sample.task: 'seconds' is not binary."),
        ({"log": {"sample": {"task": "click", "negatives": 0.0}}}, "log.sample.negatives"),
        ({"log": {"sample": {"task": "click", "negatives": 1.5}}}, "log.sample.negatives"),
        ({"tasks": {"seconds": {"label": "s", "kind": "regression", "positive_weight": 2.0}}}, "tasks.seconds.positive_weight: it is for binary"),
        ({"tasks": {"click": {"label": "c", "positive_weight": 0.0}}}, "tasks.click.positive_weight"),
        ({"features": {"vectors": [{"column": "c", "source": "v"}]}}, "features.vectors.0: 'c' is the label of 'click'"),
        ({"features": {"vectors": [{"column": "item"}]}}, "features.vectors.0.source: missing"),
        ({"features": {"vectors": [{"column": "item", "source": "v", "normalize": True}]}}, "Did you mean 'normalise'?"),
    ],
)
def test_each_is_named(sections: dict[str, Any], fault: str) -> None:
    assert fault in faults(**sections)


def test_vectors_alone_are_features() -> None:
    run = config.parse(values(features={"ids": [], "vectors": [{"column": "item", "source": "v"}]}))
    assert run.features.vectors[0].value == "vector" and config.parse(config.dump(run)) == run


def test_a_rate_is_read_and_no_glob_takes_it() -> None:
    run = config.parse(values(log={"roles": {"weight": "w", "sampling_rate": "kept"}}))
    assert run.log.roles.weighing == ["w", "kept"] and run.log.weighs
    assert {"w", "kept"} <= set(run.columns_beside_features())
    assert run.candidates({"kept": "number", "w": "number", "price": "number"}) == {"price": "number"}


def test_a_key_can_be_what_vectors_are_found_by() -> None:
    features = {"ids": ["user"], "vectors": [{"column": "item", "source": "v"}]}
    assert "item" in config.parse(values(log={"roles": {"keys": ["item"]}}, features=features)).candidates({"item": "int", "user": "int"})


def test_the_sample_is_part_of_what_is_prepared_and_the_positive_weight_is_not() -> None:
    plain = config.parse(values()).sections_of_preparation()
    assert config.parse(values(log={"sample": {"task": "click", "negatives": 0.5}})).sections_of_preparation() != plain
    assert config.parse(values(tasks={"click": {"label": "c", "positive_weight": 2.0}})).sections_of_preparation() == plain
