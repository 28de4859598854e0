"""The health report on models whose faults were planted, against naive computations, and without a trace left behind."""

import io
import json
from typing import Any

import pytest
import torch
from torch import Tensor

ARCHITECTURES = {
    "mmoe": "{kind: mmoe, num_experts: 3, expert_hidden: [8]}",
    "mmoe of two levels": "{kind: mmoe, num_experts: 3, expert_hidden: [[8], [6, 4]], gate_input: level, gate: {kind: top_k, k: 2}}",
    "ple": "{kind: ple, expert_hidden: [[8], [6]], task_experts: 1, shared_experts: 2}",
    "adatt": "{kind: adatt, expert_hidden: [[8], [6]]}",
    "home": "{kind: home, expert_width: 8, num_meta_shared: 3, lora_rank: 2}",
    "cross_stitch": "{kind: cross_stitch, expert_hidden: [[8], [6]]}",
    "shared_bottom": "{kind: shared_bottom, hidden: [8]}",
    "single_task": "{kind: single_task, hidden: [8]}",
}
OTHERS = {
    "multitab": ["model.encoder={kind: tokens}", "model.architecture={kind: multitab, num_heads: 2}"],
    "stem": ["model.encoder={kind: stem}", "model.architecture={kind: ple, expert_hidden: [8], stop_other_tasks: true}"],
    "stem in mmoe": ["model.encoder={kind: dtrn}", "model.architecture={kind: mmoe, num_experts: 3, expert_hidden: [8]}"],
}


class Built:
    """A model that was not trained, on the prepared log of the tiny run."""

    def __init__(self, tiny: Any, *overrides: str) -> None:
        from mtrec.jobs.prepare import prepare
        from mtrec.training.assemble import build_model

        self.config = tiny.config("health", *overrides)
        self.prepared = prepare(self.config)
        self.model = build_model(self.config, self.prepared)
        self.architecture: Any = self.model.ranker.architecture

    def look(self, split: str = "train") -> dict[str, Any]:
        from mtrec.evaluation.health.look import BATCH_ROWS, health_report

        return health_report(self.model, self.prepared.reader(split, BATCH_ROWS), self.config.tasks, split)

    def kinds(self) -> set[str]:
        return {fault["kind"] for fault in self.look()["verdicts"]} - {"conflict"}

    def batch(self) -> Any:
        return next(self.prepared.reader("train", 512).in_order())


def built(tiny: Any, name: str) -> Built:
    return Built(tiny, *(OTHERS[name] if name in OTHERS else [f"model.architecture={ARCHITECTURES[name]}"]))


def state_of(model: Any) -> dict[str, Tensor]:
    tensors = {**model.ranker.state_dict(), **model.embeddings.tables(), **model.embeddings.optimizer_state()}
    return {name: value.clone() for name, value in tensors.items() if isinstance(value, Tensor)}


@pytest.mark.parametrize("name", [*ARCHITECTURES, *OTHERS])
def test_a_look_changes_nothing_and_a_fresh_model_is_healthy(tiny: Any, name: str) -> None:
    made = built(tiny, name)
    made.model.train()
    before, scores = state_of(made.model), _eval_logits(made)
    report = made.look()
    assert report["rows"] == 1000 and [fault for fault in report["verdicts"] if fault["kind"] != "conflict"] == []
    json.dumps(report, allow_nan=False)
    assert made.model.training and all(parameter.grad is None for parameter in made.model.ranker.parameters())
    after = state_of(made.model)
    assert before.keys() == after.keys() and all(torch.equal(before[key], after[key]) for key in before)
    assert torch.equal(scores, _eval_logits(made))
    assert all(not module._forward_hooks and "part" not in vars(module) for module in made.model.modules())


def _eval_logits(made: Built) -> Tensor:
    made.model.eval()
    with torch.no_grad():
        logits: Tensor = made.model(made.batch())
    made.model.train()
    return logits


@pytest.mark.parametrize("name", ["mmoe", "mmoe of two levels", "ple", "adatt", "home", "stem in mmoe"])
def test_weights_and_experts_are_those_of_the_forward_pass(tiny: Any, name: str) -> None:
    """The mixture of what was seen, put together here, is what the architecture gives."""
    from mtrec.evaluation.health.levels import levels_of
    from mtrec.evaluation.health.watch import watched
    from mtrec.training.scoring import evaluating

    made = built(tiny, name)
    levels = levels_of(made.architecture, list(made.config.tasks))
    with torch.no_grad(), evaluating(made.model), watched(levels) as views:
        x = made.model.ranker.encode(made.model.embeddings(made.model.vectors(made.batch())))
        z_BTH = made.architecture(x)
        view = views()[-1]
    assert view.weights is not None
    weights_BTE = view.weights if view.residual is None else view.weights + view.residual
    experts_BEH = view.experts
    if name == "stem in mmoe":  # Each task's own input: its gate mixes what the experts made of that.
        experts_BTEH = experts_BEH.unflatten(0, [-1, 3])
        torch.testing.assert_close(torch.einsum("bte,bteh->bth", weights_BTE, experts_BTEH), z_BTH)
        return
    mixed_BTH = torch.bmm(weights_BTE, experts_BEH)
    if name == "home":  # Gate and residual gate were brought to a sum of 1.
        mixed_BTH = mixed_BTH * (z_BTH * mixed_BTH).sum(2, keepdim=True) / mixed_BTH.square().sum(2, keepdim=True)
    torch.testing.assert_close(mixed_BTH, z_BTH)
    last = made.look()["levels"][-1]
    for row in last["weights"]:
        assert sum(value for value in row if value is not None) == pytest.approx(1, abs=1e-3)


def test_an_expert_whose_relu_never_fires_is_dead(tiny: Any) -> None:
    made = built(tiny, "mmoe")
    layer = made.architecture.layer
    with torch.no_grad():
        layer.first.weight[1].zero_()
        layer.first.bias[1] = -1.0
    faults = [fault for fault in made.look("test")["verdicts"] if fault["kind"] != "conflict"]
    assert [(fault["kind"], fault["level"], fault["expert"]) for fault in faults] == [("dead", "level 1", 2)]
    assert faults[0]["sentence"] == "Expert 2 of level 1 is dead: 100 % of its units are zero on 250 rows of test."
    experts = made.look("test")["levels"][0]["experts"]
    assert experts[1]["dead"] == experts[1]["zero"] == 1.0 and experts[0]["dead"] < 1 and experts[0]["zero"] < 0.9


@pytest.mark.parametrize("how", ["zeros", "scale"])
def test_an_expert_of_zeros_or_of_tiny_outputs_has_collapsed(tiny: Any, how: str) -> None:
    made = built(tiny, "mmoe")
    layer = made.architecture.layer
    with torch.no_grad():
        if how == "zeros":  # One of its eight units goes on firing.
            layer.first.weight[0, 1:] = 0.0
            layer.first.bias[0, 1:] = -1.0
        else:
            layer.first.weight[0] *= 1e-3
    faults = [fault for fault in made.look()["verdicts"] if fault["kind"] != "conflict"]
    assert [(fault["kind"], fault["expert"]) for fault in faults] == [("collapse", 1)]
    assert ("zero" in faults[0]["sentence"]) is (how == "zeros")


def test_a_shared_expert_of_one_task_is_named(tiny: Any) -> None:
    made = built(tiny, "ple")  # Experts: click, buy, seconds, shared 4 and 5; each task sees its own and the shared two.
    bias = made.architecture.layer.gates.bias
    with torch.no_grad():  # click and seconds turn away from the first shared expert.
        bias[[1, 7]] -= 20.0
    faults = [fault for fault in made.look()["verdicts"] if fault["kind"] != "conflict"]
    assert [(fault["kind"], fault["level"], fault["expert"], fault["task"]) for fault in faults] == [("degradation", "level 2", 4, "buy")]
    assert faults[0]["sentence"] == "Expert 4 of level 2 is shared, but 100% of its gate weight comes from buy."


def test_a_task_that_ignores_its_own_experts_is_named(tiny: Any) -> None:
    made = built(tiny, "ple")
    with torch.no_grad():
        made.architecture.layer.gates.bias[3] -= 20.0  # buy's own expert
    faults = [fault for fault in made.look()["verdicts"] if fault["kind"] != "conflict"]
    assert [(fault["kind"], fault["level"], fault["expert"], fault["task"]) for fault in faults] == [("underfitting", "level 2", 2, "buy")]


def test_a_residual_keeps_an_own_expert_in_use(tiny: Any) -> None:
    made = built(tiny, "adatt")
    layer = made.architecture.layer
    with torch.no_grad():
        layer.gates.bias[:2] -= 20.0  # click's own two of seven
        layer.residual.fill_(0.5)
    assert made.kinds() == set()
    with torch.no_grad():
        layer.residual.zero_()
    assert made.kinds() == {"underfitting"}


def test_cosines_and_lengths_are_those_of_a_gradient_for_each_task(tiny: Any) -> None:
    """T separate passes back to what the tasks share, detached, without the cut's node and all tasks side by side."""
    from mtrec.evaluation.health.gradients import gradients_at_cut
    from mtrec.training.assemble import build_losses
    from mtrec.training.scoring import evaluating

    made = built(tiny, "ple")
    model, batch, losses = made.model, made.batch(), build_losses(made.config.tasks)
    with evaluating(model):
        with torch.no_grad():
            features = model.embeddings(model.vectors(batch))
        norm_T, cosine_TT = gradients_at_cut(model, losses, batch, features)
        with torch.no_grad():
            shared = [part.requires_grad_() for part in made.architecture.shared(model.ranker.encode(features))]
        towers: Any = model.ranker.towers
        logits = towers(made.architecture.tasks(shared))
        labels, rows = model.outputs.standardise(batch.labels), []
        for task in range(3):
            known = batch.label_mask[:, task]
            each = losses.losses[task](logits[known, task], labels[known, task])
            loss = (each * batch.weight[known]).sum() / batch.weight[known].sum()
            parts = torch.autograd.grad(loss, shared, retain_graph=True)
            rows.append(torch.cat([part.flatten() for part in parts]))
    expected_TN = torch.stack(rows)
    torch.testing.assert_close(norm_T, expected_TN.norm(dim=1), rtol=1e-4, atol=1e-8)
    unit_TN = expected_TN / expected_TN.norm(dim=1, keepdim=True)
    torch.testing.assert_close(cosine_TT, unit_TN @ unit_TN.T, rtol=1e-4, atol=1e-6)


def test_a_task_without_a_label_has_no_gradient(tiny: Any) -> None:
    from mtrec.evaluation.health.gradients import TaskGradientsSeen, gradients_at_cut
    from mtrec.training.assemble import build_losses

    made = built(tiny, "mmoe")
    mask = made.batch().label_mask.clone()
    mask[:, 1] = False
    batch = made.batch()._replace(label_mask=mask)
    seen = TaskGradientsSeen(["click", "buy", "seconds"])
    with torch.no_grad():
        features = made.model.embeddings(made.model.vectors(batch))
    seen.add(*gradients_at_cut(made.model, build_losses(made.config.tasks), batch, features))
    facts = seen.facts()
    assert facts["norms"][1] == {"task": "buy", "mean": None, "batches": 0} and facts["norms"][0]["mean"] > 0
    assert [each["batches"] for each in facts["cosines"]] == [0, 1, 0]


def test_a_split_without_rows_has_no_health_to_tell(tiny: Any) -> None:
    from mtrec.evaluation.health.look import health_report

    made = built(tiny, "mmoe")
    reader = made.prepared.reader("test", 512)
    reader._sizes, reader.num_rows = reader._sizes[:0], 0
    report = health_report(made.model, reader, made.config.tasks, "test")
    assert report["rows"] == 0 and report["levels"] == report["verdicts"] == [] and report["gradients"] == {"norms": [], "cosines": []}


def test_report_page_and_terminal_tell_of_faults(tiny: Any) -> None:
    from rich.console import Console

    from mtrec.evaluation.report import render_html
    from mtrec.evaluation.table import metrics_table

    made = built(tiny, "ple")
    with torch.no_grad():
        made.architecture.layer.gates.bias[3] -= 20.0
    report: dict[str, Any] = {"name": "x", "split": "train", "tasks": {}, "health": made.look()}
    sentence = next(fault["sentence"] for fault in report["health"]["verdicts"] if fault["kind"] == "underfitting")
    history = [{"step": step, "epoch": 0, "name": "train/weight/click", "value": 1.0 + step} for step in range(0, 400, 2)]
    report["health"] |= {"paths": _paths(history)}
    page = render_html(report, history, {})
    for text in (sentence, "Level 2: mean weights of gates", "Level 1: likeness of experts", "Loss weights", "Cosines of the tasks"):
        assert text in page
    assert "rgb(59 130 196 /" in page and "<script" not in page
    console = Console(file=io.StringIO(), width=300)
    console.print(metrics_table(report))
    assert sentence in " ".join(console.file.getvalue().split())  # type: ignore[attr-defined]


def _paths(history: list[dict[str, Any]]) -> dict[str, Any]:
    from mtrec.evaluation.health.paths import MOST_POINTS, paths_of

    paths = paths_of([*history, {"step": 1, "epoch": 0, "name": "train/loss/click", "value": 1.0}])
    points = paths["train/weight/click"]
    assert list(paths) == ["train/weight/click"] and len(points) <= MOST_POINTS and points[-1] == [398, 399.0]
    return paths
