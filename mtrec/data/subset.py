"""Rows of a prepared log as a prepared log of their own: encoded as they were, split otherwise."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from mtrec.config import Config
from mtrec.data.bundle import KIND, Prepared
from mtrec.data.label_sums import LabelSums
from mtrec.data.shuffle import HashOrder, RowGroups
from mtrec.data.split import SPLITS
from mtrec.hash64 import hash_int64
from mtrec.schema import Roles
from mtrec.store import Bundle

__all__ = ["write_subset"]

Chosen = Mapping[str, Mapping[str, NDArray[np.bool_]]]


def write_subset(whole: Prepared, path: Path, chosen: Chosen, config: Config) -> Prepared:
    """Write the bundle of chosen rows, or open the one that is there: its name is to say what was chosen.

    Fitted features, the statistics that labels are standardised by and the sample for export are those of the whole; no row is left out by sampling.
    What a report is to tell of labels, and the digest, are its own: no log gives these rows with these features again.

    Args:
        chosen: for each split of the subset, and each of valid and test of the whole, which rows it takes, [rows].
        config: whose seed orders the train rows, and whose tasks and roles the rows have.
    """
    if Bundle.is_complete(path):
        return Prepared(path)
    meta = Bundle.open(whole.path, KIND).meta
    rows = {split: sum(int(mine.sum()) for mine in chosen[split].values()) for split in SPLITS}
    splits = [meta["sections"]["log"]["split"], config.log.split.model_dump()]
    digest = hashlib.sha256(json.dumps([whole.digest, *splits]).encode()).hexdigest()
    sums = {split: LabelSums(list(config.tasks)) for split in SPLITS}
    with Bundle.create(path, KIND, meta | {"rows": rows, "sampling": None, "digest": digest}, replace=True) as bundle:
        for name in ("features.safetensors", "sample.parquet"):
            shutil.copyfile(whole.path / name, bundle.path / name)
        with ExitStack() as files:
            train = files.enter_context(HashOrder(bundle.path / "train.parquet", rows["train"]))
            held_out = {split: files.enter_context(RowGroups(bundle.path / f"{split}.parquet")) for split in ("valid", "test")}
            raw = {split: files.enter_context(RowGroups(bundle.path / f"{split}.columns.parquet")) for split in ("valid", "test")}
            for source in ("valid", "test"):
                columns, start = whole.columns(source), 0
                for table in whole.row_groups(source):
                    mine = {split: pa.array(chosen[split][source][start : start + table.num_rows]) for split in SPLITS}
                    for split in SPLITS:
                        _add(sums[split], table.filter(mine[split]), config.log.roles)
                    taken = table.filter(mine["train"])
                    train.add(taken, hash_int64(torch.tensor(taken["row"].to_numpy()), config.seed).numpy().view(np.uint64))
                    for split, file in held_out.items():
                        file.add(table.filter(mine[split]))
                        if columns is not None:
                            raw[split].add(columns.slice(start, table.num_rows).filter(mine[split]))
                    start += table.num_rows
        bundle.meta["own_tasks"] = {split: _facts(sums[split], config.log.roles) for split in SPLITS}
    return Prepared(path)


def _add(sums: LabelSums, table: pa.Table, roles: Roles) -> None:
    """Count prepared rows of held-out splits, whose weights are `roles.weight` over `roles.sampling_rate`."""
    columns = [table[f"y.{task}"].combine_chunks() for task in range(len(sums.tasks))]
    labels = np.stack([column.fill_null(0).to_numpy(zero_copy_only=False) for column in columns], 1)
    mask = np.stack([column.is_valid().to_numpy(zero_copy_only=False) for column in columns], 1)
    sums.add(labels, mask, table["w"].to_numpy().astype(np.float64) if roles.weight is None else np.ones(table.num_rows))


def _facts(sums: LabelSums, roles: Roles) -> dict[str, dict[str, Any]]:
    known_rates = roles.weight is None or roles.sampling_rate is None  # Of a product, neither factor can be told.
    return {task: {"known": found["known"], "mean": found["mean"] if known_rates else None} for task, found in sums.facts().items()}
