"""Parts inside the options of parts: defaults written out, faults with their dotted path."""

from pathlib import Path
from typing import Any

import pytest

from mtrec import config
from mtrec.errors import ConfigError


def values(**model: Any) -> dict[str, Any]:
    return {
        "name": "shop",
        "log": {"source": "log.parquet", "split": {"by": "column", "column": "split"}},
        "features": {"ids": ["tab", "item_id"]},
        "tasks": {"buy": {"label": "is_buy"}},
        "model": model,
    }


def faults_of(**model: Any) -> str:
    with pytest.raises(ConfigError) as found:
        config.parse(values(**model))
    return str(found.value)


@pytest.mark.parametrize("gate", ["top_k", {"kind": "top_k"}, {"kind": "top_k", "k": 2}])
def test_defaults_are_written_out(gate: object) -> None:
    run = config.parse(values(architecture={"kind": "ple", "gate": gate}))
    written = config.dump(run)["model"]["architecture"]["gate"]
    assert written == {"kind": "top_k", "hidden": [], "k": 2, "normalise": True, "rate": 0.001}
    assert config.parse(config.dump(run)) == run
    assert config.dump(config.parse(values()))["model"]["architecture"]["gate"] == {"kind": "softmax", "hidden": []}


def test_faults_have_their_dotted_path() -> None:
    assert "model.architecture.gate.kind: There is no 'top_q' among the gates" in faults_of(architecture={"kind": "mmoe", "gate": "top_q"})
    told = faults_of(architecture={"kind": "adatt", "gate": {"kind": "exclusive", "alpha": 2.0, "mood": "exclusion"}})
    assert "model.architecture.gate.alpha:" in told
    assert "model.architecture.gate.mood: unknown key. Did you mean 'mode'?" in told
    assert "model.architecture.expert_hidden.0.1:" in faults_of(architecture={"kind": "mmoe", "expert_hidden": [8, 0]})


def test_an_option_of_a_gate_is_set_from_outside(tmp_path: Path) -> None:
    path = tmp_path / "shop.yaml"
    path.write_text(config.to_yaml(config.parse(values())), encoding="utf-8")
    run = config.load(path, ["model.architecture.gate.hidden=[8]", "model.gate_features=[tab]"])
    assert config.dump(run)["model"]["architecture"]["gate"]["hidden"] == [8]
    assert run.model.gate_features == ["tab"]


def test_gate_features_are_id_features() -> None:
    told = faults_of(gate_features=["tap", "tab", "tab"])
    assert "model.gate_features.0: there is no id feature 'tap'. Did you mean 'tab'?" in told
    assert "model.gate_features.2: 'tab' is named twice." in told


@pytest.mark.parametrize("kind", ["shared_bottom", "single_task", "cross_stitch"])
def test_an_architecture_without_gates_refuses_them(kind: str) -> None:
    assert f"model.gate_features: the architecture {kind!r} has no gates that read features." in faults_of(architecture=kind, gate_features=["tab"])
