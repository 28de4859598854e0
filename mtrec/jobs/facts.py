"""What a report says of the run that is judged: the size of its model, what it was trained on, and which versions it began with."""

from typing import Any

import pyarrow as pa

from mtrec.data.split import SPLITS
from mtrec.evaluation.days import first_and_last
from mtrec.jobs.load import Loaded

__all__ = ["facts_of"]


def facts_of(loaded: Loaded, columns: pa.Table | None) -> dict[str, Any]:
    """The part `run` of a report.

    Args:
        columns: raw columns of the judged rows, whose first and last time are told where it holds their times.
    """
    config, prepared, model = loaded.config, loaded.prepared, loaded.model
    rows_of_tables = {field.table: field.num_rows for field in prepared.fields}
    parameters = {
        "tables": sum(rows_of_tables.values()) * model.embeddings.width,
        "dense": sum(parameter.numel() for parameter in model.ranker.parameters()),
    }
    labels = {task: {split: {key: prepared.own_facts[split][task][key] for key in ("known", "mean")} for split in SPLITS} for task in config.tasks}
    times = first_and_last(columns, config)
    found = {
        "parameters": parameters,
        "rows": {split: prepared.rows[split] for split in SPLITS},
        "labels": labels,
        "environment": loaded.run.environment() or {"versions": "unknown"},
    }
    return {"run": found | ({"judged_times": times} if times else {})}
