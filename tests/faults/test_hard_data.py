"""Logs with nothing to learn from in places: training goes on, and what is undefined says why."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch
from torch.nn import functional

from mtrec.data.synthetic import impressions
from mtrec.jobs.prepare import prepare
from mtrec.training.assemble import build_losses, build_model
from tests.faults.kit import poison

Call = Callable[..., tuple[int, str, str]]
TRAIN, VALID, ALL = range(1000), range(1000, 1250), range(1500)
LABELS: dict[str, list[tuple[str, int | None, range]]] = {
    "buy is unknown in train": [("is_buy", None, TRAIN)],
    "buy is unknown in valid": [("is_buy", None, VALID)],
    "buy is unknown everywhere": [("is_buy", None, ALL)],
    "nobody clicks": [("is_click", 0, ALL), ("is_buy", None, ALL)],
    "all of one class": [("is_click", 1, ALL), ("is_buy", 1, ALL)],
    "one class in valid": [("is_click", 1, VALID)],
    "seconds are unknown everywhere": [("play_seconds", None, ALL)],
    "nothing is known in valid": [("is_click", None, VALID), ("is_buy", None, VALID), ("play_seconds", None, VALID)],
    "whole batches know nothing": [("is_click", None, range(998)), ("is_buy", None, range(998)), ("play_seconds", None, range(998))],
}


def trained(tiny: Any, call: Call, tmp_path: Path, table: pa.Table, *overrides: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    log, run = tmp_path / "log.parquet", tmp_path / "run"
    pq.write_table(table, log)
    code, _, error = call("train", tiny.file("hard"), f"log.source={log}", f"run_dir={run}", *overrides)
    assert code == 0, error
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return lines, json.loads((run / "report.json").read_text())["tasks"]


@pytest.mark.parametrize("case", LABELS)
def test_labels_that_teach_nothing(case: str, tiny: Any, tmp_path: Path, call: Call) -> None:
    table = impressions(1500)
    for column, value, rows in LABELS[case]:
        table = poison(table, column, value, rows)
    lines, tasks = trained(tiny, call, tmp_path, table)
    assert all(math.isfinite(line["value"]) for line in lines)
    assert {line["epoch"] for line in lines} == {0, 1}
    labels = {"click": "is_click", "buy": "is_buy", "seconds": "play_seconds"}
    for name, task in tasks.items():
        known = table[labels[name]][1250:].drop_null()
        metrics = {metric: found for metric, found in task.items() if isinstance(found, dict)}
        if name != "buy":
            assert task["rows"] == len(known)
        for metric, found in metrics.items():
            assert (found["value"] is None) == ("reason" in found), f"{name} {metric}: {found}"
            if metric in ("auc", "pr_auc", "normalised_entropy", "logloss", "rmse", "mae"):
                without = {"auc": (0, task["rows"]), "normalised_entropy": (0, task["rows"]), "pr_auc": (0,)}.get(metric, ())
                undefined = task["rows"] == 0 or task.get("positives") in without
                assert (found["value"] is None) == undefined, f"{name} {metric}: {found}"


def test_a_file_without_a_label_among_others(tiny: Any, tmp_path: Path, call: Call) -> None:
    """A file of one class, one whose labels are all null and so of no type, and one like any other."""
    table, folder = impressions(1500), tmp_path / "log"
    folder.mkdir()
    first = table[:400].set_column(table.schema.get_field_index("is_buy"), "is_buy", pa.nulls(400))
    second = poison(table[400:900], "is_click", 0, range(500))
    for name, part in (("a", first), ("b", second), ("c", table[900:])):
        pq.write_table(part, folder / f"{name}.parquet")
    lines, tasks = trained(tiny, call, tmp_path, table, f"log.source={folder}")
    assert all(math.isfinite(line["value"]) for line in lines)
    assert tasks["buy"]["auc"]["value"] is not None


SEQUENCES: dict[str, list[int | None] | None] = {
    "null": None,
    "empty": [],
    "one": [7],
    "longer than the limit": [7, 14, 21, 28, 35, 42, 49],
    "all unknown": [-5, 2**60],
    "null inside": [7, None, 14],
    "nulls only": [None, None],
    "twice the same": [7, 7],
}


@pytest.mark.parametrize("kind", SEQUENCES)
def test_gradients_of_sequences_reach_the_rows_that_were_looked_up(kind: str, tiny: Any, tmp_path: Path) -> None:
    """One step of plain SGD on a log whose last train row stands alone in its batch: each table moves by the gradient of a naive look-up."""
    table = impressions(1500)
    table = poison(table, "past_items", SEQUENCES[kind], [999])
    log = tmp_path / "log.parquet"
    pq.write_table(table, log)
    optimizer = "training.optimizers.embeddings={kind: sgd, lr: 1.0}"
    config = tiny.config("sequences", f"log.source={log}", f"run_dir={tmp_path / 'run'}", "training.batch_size=1", optimizer)
    prepared = prepare(config)
    model = build_model(config, prepared)
    model.train()
    batch = next(batch for batch in prepared.reader("train", 1).in_order() if int(batch.row) == 999)
    lengths = dict(zip([field.name for field in prepared.fields], batch.id_lengths[:, 0].tolist(), strict=True))
    given = [item for item in (SEQUENCES[kind] or []) if item is not None][-5:]
    assert lengths["past_items"] == len(given)

    before = {name: weight.clone() for name, weight in model.embeddings.tables().items()}
    twins = {name: weight.clone().requires_grad_() for name, weight in before.items()}
    pooled, naive, start = model.embeddings(batch), [batch.numbers], 0
    for field, length in zip(prepared.fields, batch.id_lengths[:, 0].tolist(), strict=True):
        ids, start = batch.ids[start : start + length], start + length
        naive.append(functional.embedding_bag(ids, twins[field.table], torch.tensor([0]), mode="mean"))
    expected = torch.cat(naive, 1)
    torch.testing.assert_close(pooled.flat, expected, rtol=0, atol=1e-6)
    losses = build_losses(config.tasks)
    labels = model.outputs.standardise(batch.labels)
    state = torch.get_rng_state()
    losses(model(batch), labels, batch.label_mask, batch.weight).mean.sum().backward()
    torch.set_rng_state(state)
    losses(model.ranker(pooled._replace(flat=expected)), labels, batch.label_mask, batch.weight).mean.sum().backward()
    for name, after in model.embeddings.tables().items():
        gradient = twins[name].grad
        assert gradient is not None and bool(after.isfinite().all())
        torch.testing.assert_close(before[name] - after, gradient, rtol=0, atol=1e-5)
        touched = {int(row) for row in (before[name] - after).abs().sum(1).nonzero()}
        assert touched <= {int(row) for row in gradient.abs().sum(1).nonzero()}


@pytest.mark.parametrize("kind", ["null", "all unknown", "nulls only"])
def test_a_log_whose_sequences_are_all_alike(kind: str, tiny: Any, tmp_path: Path, call: Call) -> None:
    table = impressions(1500)
    rows = range(200, 1500) if kind == "all unknown" else range(1, 1500)  # Something must be there to be fitted on.
    table = poison(table, "past_items", SEQUENCES[kind], rows)
    table = poison(table, "past_items", [7], [0])
    assert pc.sum(pc.is_valid(table["past_items"])).as_py() >= 1
    lines, tasks = trained(tiny, call, tmp_path, table, "training.epochs=1")
    assert all(math.isfinite(line["value"]) for line in lines)
    assert tasks["click"]["auc"]["value"] is not None
