"""`mtrec export`: the best weights and the fitted features as one artifact, behind the parity gate."""

from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa

from mtrec.errors import ConfigError
from mtrec.export.torchscript import ParityReport, export_artifact
from mtrec.jobs.load import Loaded
from mtrec.training.scoring import score_table
from mtrec.training.tracking import reopen_tracker

__all__ = ["HISTORY", "export_run"]

FORMATS = ("torchscript",)
HISTORY = "history"  # The folder of the state of histories and counters, in an artifact.


def export_run(loaded: Loaded, out: str | Path | None = None, kind: str = "torchscript") -> ParityReport:
    """Export a run; an earlier export of the run is replaced, any other directory must not be there.

    Raises:
        ConfigError: if the format is none of ours.
        GateError: if the artifact's scores are not the trained model's; then nothing is written.
    """
    if kind not in FORMATS:
        raise ConfigError(f"There is no export format {kind!r} yet", expected=f"one of {', '.join(FORMATS)}")
    run, config, prepared, features, model, _ = loaded

    def reference(table: pa.Table) -> dict[str, np.ndarray]:
        return {name: values.numpy() for name, values in model.outputs(score_table(model, features, table)).items()}

    report = export_artifact(
        run.export if out is None else out,
        feature_set=features,
        fields=prepared.fields,
        tables=model.embeddings.tables(),
        ranker=model.ranker,
        outputs=model.outputs,
        sample=prepared.sample(),
        reference=reference,
        meta={"name": config.name, "mtrec": version("mtrec-moe"), "keys": config.log.roles.keys, "dataset_digest": prepared.digest},
        keys=config.log.roles.keys,
        layout=model.embeddings.layout,
        beside={HISTORY: prepared.history} if prepared.history is not None else None,
        replace=out is None,
    )
    tracker = reopen_tracker(config.tracking, run.path, config.name)
    tracker.log_bundle(report.path, "artifact")
    tracker.close()
    return report
