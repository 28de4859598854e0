"""The artifact scores as the model on the training side does, with its fused and sharded tables."""

import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from mtrec.sections import EmbeddingOptimizer
from mtrec.types import Batch, Cursor
from tests.export.small_model import WIDTH, make_log, small_model


def test_equal_to_1e_6_at_every_batch_size(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch scripts functions of its own on import
        from mtrec.embeddings.tables import Embeddings
    model = small_model()
    embeddings = Embeddings(model.fields, len(model.feature_set.number_inputs), WIDTH, EmbeddingOptimizer(), seed=0)
    with torch.no_grad():
        for name, table in embeddings.tables().items():
            table.copy_(model.tables[name])

    def reference(rows: pa.Table) -> Mapping[str, np.ndarray]:
        encoded = model.feature_set.encode(rows)
        ids = torch.tensor(np.concatenate([values for values, _ in encoded.ids]))
        lengths = torch.tensor(np.stack([lengths for _, lengths in encoded.ids]))
        num_rows = len(rows)
        known = torch.zeros(num_rows, 3)
        numbers, row = torch.tensor(encoded.numbers), torch.arange(num_rows)
        batch = Batch(numbers, ids, lengths, known, known.bool(), torch.ones(num_rows), row, Cursor(0, 0))
        with torch.no_grad():
            scores = model.outputs(model.ranker(embeddings(batch)))
        return {name: values.numpy() for name, values in scores.items()}

    report = model.export(tmp_path / "artifact", reference=reference, sample=make_log(300, seed=3))
    assert max(report.differences.values()) <= 1e-6
