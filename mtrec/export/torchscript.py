"""A trained model as an artifact: TorchScript that loads with torch alone, its signature, and rows with the scores it must repeat."""

import copy
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from mtrec.embeddings.layout import Layout
from mtrec.errors import BundleError, ConfigError, DataError
from mtrec.export.parity import Reference, check_parity
from mtrec.export.serving_model import ServingModel
from mtrec.features.feature_set import FeatureSet
from mtrec.model.outputs import SCORE, Outputs
from mtrec.model.ranker import Ranker
from mtrec.request import Input, Rows
from mtrec.serving import FORMAT, Output, quiet_torchscript
from mtrec.store import Bundle, digest_of
from mtrec.types import IdField

__all__ = ["ParityReport", "describe_outputs", "export_artifact"]


@dataclass(frozen=True)
class ParityReport:
    """What the gate measured.

    Attributes:
        path: of the artifact.
        num_rows: held-out rows compared, each in several hard variants too.
        differences: largest difference from the trained model, by output, as `mtrec.serving.difference` measures it.
        manifest_sha256: to pin the artifact with, as `expected_sha256` of `load_artifact`.
    """

    path: Path
    num_rows: int
    differences: dict[str, float]
    manifest_sha256: str


def export_artifact(
    path: str | Path,
    *,
    feature_set: FeatureSet,
    fields: list[IdField],
    tables: dict[str, Tensor],
    ranker: Ranker,
    outputs: Outputs,
    sample: pa.Table,
    reference: Reference,
    meta: dict[str, Any],
    keys: Sequence[str] = (),
    layout: Layout | None = None,
    beside: Mapping[str, Path] | None = None,
    replace: bool = False,
) -> ParityReport:
    """Write a model as an artifact, once its scores are proven to be those of the trained model; the modules given are not changed.

    Args:
        path: of the artifact, a directory.
        fields: the id features, in the order of `feature_set`.
        tables: trained embedding tables by name, float32 [rows, width].
        sample: raw rows that were not trained on, with all columns that the model reads; they travel with the artifact.
        reference: scores of the trained model on raw rows, {output: [rows]}.
        meta: kept in the manifest.
        keys: columns of `sample` that name a row in messages.
        layout: which fields are looked up position by position, and which is the candidate; absent: none.
        beside: folders that travel with the artifact, under their names.
        replace: whether an artifact that is there already gives way.

    Raises:
        ConfigError: if the score of a row depends on the rows beside it.
        DataError: if the sample is empty, or lacks a column.
        BundleError: if the directory exists, or fields or tables do not fit the features.
        GateError: if a score differs; then nothing is written.
    """
    inputs = [Input(each["column"], each["kind"], each.get("aligned_to")) for each in feature_set.signature()]
    served = describe_outputs(outputs)
    _check_fields(fields, feature_set)
    _check_sample(sample, inputs, keys)
    _check_rows_stand_alone(ranker)
    parts = [copy.deepcopy(part).cpu().eval().requires_grad_(False) for part in (feature_set, ranker, outputs)]
    twin = ServingModel(parts[0], fields, {name: table.cpu() for name, table in tables.items()}, parts[1], parts[2], copy.deepcopy(layout)).eval()
    with quiet_torchscript():
        script = torch.jit.freeze(torch.jit.script(twin), optimize_numerics=False)
    with Bundle.create(path, kind="artifact", meta=meta, replace=replace) as bundle:
        file = str(bundle.path / "model.pt")
        with quiet_torchscript():
            # Through Python's stream: torch's own writer ends the process where the disk is full.
            with open(file, "wb") as stream:
                torch.jit.save(script, stream)
            script = torch.jit.load(file, map_location="cpu")  # what was written is what is judged
        differences = check_parity(script, twin, sample, reference, inputs, served, keys)
        _write_signature(bundle.path / "signature.json", inputs, served)
        _write_golden(bundle.path / "golden.parquet", sample, script(*Rows(sample, inputs).request()))
        for name, folder in (beside or {}).items():
            shutil.copytree(folder, bundle.path / name)
    return ParityReport(Path(path), len(sample), differences, digest_of(Path(path) / "manifest.json"))


def describe_outputs(outputs: Outputs) -> list[Output]:
    """Name, kind and scale of each output, in their order; the scale of a probability is 1, that of the score the sum over what it is made of."""
    tasks = zip(outputs.names, outputs.task_of_output, strict=True)
    scales = outputs.scale_T.tolist()
    served = [Output(name, "binary") if outputs.is_binary[task] else Output(name, "regression", scales[task]) for name, task in tasks]
    if not outputs.score_weights:
        return served
    scale = sum(abs(outputs.score_weights.get(each.name, 0.0)) * each.scale for each in served)
    return [*served, Output(SCORE, "regression", scale)]


def _check_fields(fields: list[IdField], feature_set: FeatureSet) -> None:
    sizes = feature_set.table_sizes()
    expected = [IdField(each.name, each.table, sizes[each.table]) for each in feature_set.id_inputs]
    if fields != expected:
        raise BundleError("The id fields are not those of the features", found=fields, expected=expected, do="Export with the run's own features.")


def _check_sample(sample: pa.Table, inputs: list[Input], keys: Sequence[str]) -> None:
    missing = [name for name in dict.fromkeys([*(each.column for each in inputs), *keys]) if name not in sample.schema.names]
    if missing or not len(sample):
        do = "Give held-out rows with every column that the model reads."
        raise DataError("The sample cannot prove anything", found=f"{len(sample)} rows, without {missing}" if missing else "no rows", do=do)


def _check_rows_stand_alone(ranker: Ranker) -> None:
    if getattr(ranker.architecture, "mixes_rows", False):
        what = "The score of a row depends on the rows that are scored with it, so no artifact can repeat the scores of training"
        raise ConfigError(what, where="model.architecture.inter_sample", do="Train with inter_sample: false.")


def _write_signature(file: Path, inputs: list[Input], outputs: list[Output]) -> None:
    named = [{key: value for key, value in each._asdict().items() if value is not None} for each in inputs]
    signature = {"format": FORMAT, "inputs": named, "outputs": [each._asdict() for each in outputs]}
    file.write_text(json.dumps(signature, indent=1) + "\n", encoding="utf-8")


def _write_golden(file: Path, sample: pa.Table, scores: dict[str, Tensor]) -> None:
    for name, values in scores.items():
        sample = sample.append_column(f"score:{name}", pa.array(values.numpy()))
    pq.write_table(sample, file, write_page_checksum=True)
