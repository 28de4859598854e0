"""A small model over a generated log with every kind of input, and its scores by a path of their own; shared by the tests of artifacts."""

import functools
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from mtrec.export.torchscript import ParityReport, export_artifact
from mtrec.features.feature_set import FeatureSet, column_types
from mtrec.model.architectures import mmoe
from mtrec.model.encoders import concat
from mtrec.model.outputs import Outputs
from mtrec.model.ranker import Ranker
from mtrec.model.towers import Towers
from mtrec.schema import Features, Task
from mtrec.types import FeatureBatch, FeatureShape, IdField

WIDTH = 4
COUNTRIES = ["Österreich", "日本", "éire", "", "🇧🇷", "plain"]
FEATURES = {
    "ids": [
        "user_id",
        "item_id",
        "country",
        {"column": "tags", "multi": True, "max_length": 3},
        {"column": "url", "encoding": {"kind": "hashing", "size": 50}},
        {"cross": ["country", "item_id"], "encoding": {"kind": "cross", "size": 70}},
    ],
    "numbers": ["price", {"column": "age", "transforms": [["log1p", "standard"]]}],
    "sequences": [{"from": "seen", "shares": {"seen": "item_id"}, "numbers": ["days_ago"], "max_length": 4}],
}
TASKS = {
    "click": {"label": "is_click"},
    "buy": {"label": "is_buy", "given": "click"},
    "seconds": {"label": "seconds", "kind": "regression"},
}


def make_log(num_rows: int, seed: int = 0) -> pa.Table:
    """Rows with nulls, texts beyond ASCII, ids beyond 2^53, and lists with a list of numbers beside them."""
    random = np.random.default_rng(seed)
    lengths = random.integers(0, 7, num_rows)

    def some(values: list[Any]) -> list[Any]:
        return [None if random.random() < 0.15 else value for value in values]

    seen = some([some(random.integers(0, 30, length).tolist()) for length in lengths])
    columns = {
        "row_id": pa.array(np.arange(num_rows)),
        "user_id": pa.array(some([2**60 + int(user) for user in random.integers(0, 40, num_rows)]), pa.int64()),
        "item_id": pa.array(some(random.integers(0, 30, num_rows).tolist()), pa.int32()),
        "country": pa.array(some([COUNTRIES[index] for index in random.integers(0, len(COUNTRIES), num_rows)])),
        "tags": pa.array(some([some([COUNTRIES[tag] for tag in random.integers(0, 6, length)]) for length in lengths]), pa.list_(pa.string())),
        "url": pa.array(some([f"https://bücher.example/{number}" for number in random.integers(0, 500, num_rows)])),
        "price": pa.array(some(random.lognormal(2, 1, num_rows).tolist()), pa.float64()),
        "age": pa.array(some(random.integers(18, 90, num_rows).tolist()), pa.int16()),
        "seen": pa.array(seen, pa.list_(pa.int64())),
        "days_ago": pa.array([each and some(random.exponential(5, len(each)).tolist()) for each in seen], pa.list_(pa.float32())),
    }
    return pa.table(columns)


class SmallModel(NamedTuple):
    """What `export_artifact` takes, and the trained model's scores."""

    feature_set: FeatureSet
    fields: list[IdField]
    tables: dict[str, Tensor]
    ranker: Ranker
    outputs: Outputs

    def reference(self, rows: pa.Table) -> dict[str, NDArray[np.float64]]:
        """Scores by `encode`, a loop over rows, and the equations of the outputs in float64."""
        encoded = self.feature_set.encode(rows, strict=False)
        parts = [encoded.numbers]
        for field, (values, lengths) in zip(self.fields, encoded.ids, strict=True):
            bags = np.split(self.tables[field.table].numpy()[values], np.cumsum(lengths)[:-1]) if len(lengths) else []
            parts.append(np.array([bag.mean(0) if len(bag) else np.zeros(WIDTH) for bag in bags], dtype=np.float32).reshape(len(bags), WIDTH))
        flat = torch.tensor(np.concatenate(parts, axis=1))
        nothing = flat.new_zeros
        with torch.no_grad():
            fields = flat[:, encoded.numbers.shape[1] :].reshape(len(flat), len(self.fields), WIDTH)
            batch = FeatureBatch(flat, fields, nothing(len(flat), 0, 0, WIDTH), nothing(len(flat), 0), nothing(len(flat), 0))
            click, buy, seconds = self.ranker(batch).double().numpy().T
        own = 1 / (1 + np.exp(-buy))
        clicked = 1 / (1 + np.exp(-click))
        return {"click": clicked, "buy.conditional": own, "buy.joint": own * clicked, "seconds": 120.0 + 45.0 * seconds}

    def export(self, path: Path, **changes: Any) -> ParityReport:
        """Export it; by default with 60 rows of another seed than it was fitted on."""
        given = {**self._asdict(), "sample": make_log(60, seed=1), "reference": self.reference, "meta": {"run": "small"}, "keys": ["row_id"]}
        return export_artifact(path, **{**given, **changes})


@functools.cache
def small_model(parts: tuple[str, ...] = ("ids", "numbers", "sequences")) -> SmallModel:
    """Fitted transforms, random weights; the same at every call. With some parts of the features only, where they are given."""
    log = make_log(400)
    features = {part: FEATURES[part] for part in parts}
    feature_set = FeatureSet.build(Features.model_validate(features), column_types(log.schema))
    feature_set.observe(log, np.random.default_rng(0).permutation(400).astype(np.uint64))
    feature_set.finish()
    sizes = feature_set.table_sizes()
    fields = [IdField(each.name, each.table, sizes[each.table]) for each in feature_set.id_inputs]
    tasks = {name: Task.model_validate(task) for name, task in TASKS.items()}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        tables = {name: torch.randn(size, WIDTH) for name, size in sizes.items()}
        num_numbers = len(feature_set.number_inputs)
        encoder = concat.Concat(FeatureShape(num_numbers + len(fields) * WIDTH, len(fields), 0, WIDTH), len(TASKS), concat.Config())
        architecture = mmoe.MMoE(encoder.output_width, 1, len(tasks), mmoe.Config(num_experts=3, expert_hidden=[16, 8]))
        ranker = Ranker(encoder, architecture, Towers(architecture.output_width, len(tasks), [8])).eval()
    return SmallModel(feature_set, fields, tables, ranker, Outputs(tasks, [0.0, 0.0, 120.0], [1.0, 1.0, 45.0]))
