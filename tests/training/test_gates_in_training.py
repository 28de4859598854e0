"""Gates whose balance moves after each step, and gates that read features, in a run from log to artifact."""

from typing import Any

import pytest
import torch
from safetensors.torch import load

OVERRIDES = (
    "model.architecture={kind: ple, expert_hidden: [[8], [4]], task_experts: 2, shared_experts: 1, gate: {kind: top_k, rate: 0.01}}",
    "model.gate_features=[kind, item_id]",
    "training.early_stopping=null",
)


@pytest.fixture(scope="module")
def run(tiny: Any) -> Any:
    return tiny.train("top-k", *OVERRIDES)


def test_the_balance_moves_after_each_step(tiny: Any, run: Any) -> None:
    dense = load(tiny.state("top-k")["dense-00000.safetensors"])
    balances = {name: value for name, value in dense.items() if name.endswith("balance_RE")}
    assert sorted(balances) == ["architecture.layer.gates.balance_RE", "architecture.lower.0.gates.balance_RE"]
    for balance_RE in balances.values():
        assert balance_RE.abs().max() > 0.01
        # Every step takes out its mean, over what a unit sees; closed edges stay at 0.
        assert torch.allclose(balance_RE.sum(dim=1), torch.zeros(len(balance_RE)), atol=1e-5)


def test_the_balance_is_judged_as_it_is_averaged(tiny: Any, run: Any) -> None:
    state = tiny.state("top-k")
    dense, average = load(state["dense-00000.safetensors"]), load(state["average-00000.safetensors"])
    assert average.keys() == {f"dense/{name}" for name, value in dense.items() if value.is_floating_point()}
    balances = [name for name in dense if name.endswith("balance_RE")]
    assert len(balances) == 2 and all((dense[name] - average[f"dense/{name}"]).abs().max() > 0 for name in balances)


def test_stopped_and_gone_on_it_ends_bit_for_bit_equal(tiny: Any, run: Any) -> None:
    tiny.train_and_resume("top-k", *OVERRIDES)  # The first half of which is there.


def test_the_artifact_scores_as_training_does(run: Any) -> None:
    from mtrec.jobs.export import export_run
    from mtrec.jobs.load import load_run

    loaded = load_run(run.path)
    assert loaded.model.ranker.gate_fields
    report = export_run(loaded)
    assert report.num_rows > 0 and max(report.differences.values()) < 1e-6


def test_gates_read_the_named_fields(run: Any) -> None:
    from mtrec.jobs.load import load_run

    model = load_run(run.path).model
    names = model.embeddings.layout.field_names
    assert [names[place] for place in model.ranker.gate_fields] == ["kind", "item_id"]
    assert model.ranker.architecture.num_extra == 2 * model.embeddings.width


@pytest.mark.slow
def test_two_ranks_move_one_balance(tiny: Any) -> None:
    """Counts are added up over ranks before the sign is taken: the curve is that of one rank."""
    from tests.training.test_two_ranks import PLAIN, assert_same_curve, curve, train

    model = {"embedding_dim": 4, "architecture": {"kind": "mmoe", "num_experts": 4, "expert_hidden": [8], "gate": {"kind": "top_k", "rate": 0.01}}}
    for num_ranks in (1, 2):
        train(tiny.file(f"balance-{num_ranks}", training=PLAIN, model=model), num_ranks)
    first, second = (tiny.folder / "runs" / f"balance-{num_ranks}" for num_ranks in (1, 2))
    assert_same_curve(curve(second), curve(first))
    balances = [load(tiny.state(run.name)["dense-00000.safetensors"])["architecture.layer.gates.balance_RE"] for run in (first, second)]
    assert torch.allclose(balances[0], balances[1]) and balances[0].abs().max() > 0.01
