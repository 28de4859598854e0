"""A report in words, as one Markdown file that travels with the model: what it is, what it saw, how good it is, and where it is not."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mtrec.config import Config
from mtrec.evaluation.input_drift_page import moved_inputs
from mtrec.evaluation.table import ABSENT, MAIN_METRIC, cells, metric_text, number, remarks
from mtrec.schema import output_names
from mtrec.store import atomic_file

__all__ = ["FILE", "model_card", "plain", "write_model_card"]

FILE = "model_card.md"
SHOWN = 3  # Slices of a column, and inputs that have moved: the worst ones.
CALIBRATION = {"predicted_over_actual": "Predicted over actual", "ece_equal_count": "Calibration error", "normalised_entropy": "Normalised entropy"}


def write_model_card(folder: Path, report: Mapping[str, Any], config: Config) -> None:
    """Write model_card.md into the directory of a run."""
    with atomic_file(folder / FILE) as aside:
        aside.write_text(model_card(report, config), encoding="utf-8")


def model_card(report: Mapping[str, Any], config: Config) -> str:
    """The card of a report, as report.json has it; parts that the report has nothing for are left out. Names and values are escaped."""
    parts = {
        "Model": _model(report, config),
        "Data": _data(report, config),
        "Metrics": _metrics(report),
        "Slices": _slices(report),
        "Calibration": _calibration(report),
        "Verdicts": [f"- {plain(sentence)}" for sentence in remarks(report)],
        "What the features see": [f"- {plain(name)}: {plain(sentence)}" for name, sentence in report.get("features_see", {}).items()],
        "Limits": _limits(report),
        "Use": _use(config),
        "Made with": _made_with(report, config),
    }
    written = [f"# {plain(config.name)}", *(f"## {title}\n\n{text}" for title, lines in parts.items() if (text := "\n".join(lines).strip()))]
    return "\n\n".join(written) + "\n"


def plain(text: object) -> str:
    """Text that Markdown shows as it is, on one line.

    >>> plain("a_b|c")
    'a\\\\_b\\\\|c'
    """
    return re.sub(r"([\\`*_\[\]<>&|~$#])", r"\\\1", " ".join(str(text).split()))


def _table(headings: list[str], rows: Iterable[Iterable[object]]) -> list[str]:
    """A table of text, and an empty line; nothing where it has no rows."""
    lines = ["| " + " | ".join(plain(cell) for cell in row) + " |" for row in [headings, *rows]]
    return [lines[0], "|---" * len(headings) + "|", *lines[1:], ""] if len(lines) > 1 else []


def _model(report: Mapping[str, Any], config: Config) -> Iterator[str]:
    yield f"Predicts {', '.join(plain(name) for name in config.tasks)} of one row; one model for {len(config.tasks)} tasks.\n"
    for what, part in (("Architecture", config.model.architecture), ("Encoder", config.model.encoder), ("Weighting", config.objective.weighting)):
        options = f" {json.dumps(part.options)}" if part.options else ""
        yield f"- {what}: {plain(part.kind + options)}"
    yield f"- Embeddings: {config.model.embedding_dim} wide; towers: {plain(config.model.towers.hidden)}"
    if counts := report.get("run", {}).get("parameters"):
        yield f"- Parameters: {counts['tables']:,} in tables, {counts['dense']:,} in dense layers"
    yield f"- Weights: {plain(report.get('weights', 'unknown'))}\n"
    rows = [[name, task.kind, task.label.column, task.given or ABSENT] for name, task in config.tasks.items()]
    yield from _table(["Task", "Kind", "Label", "Given"], rows)


def _data(report: Mapping[str, Any], config: Config) -> Iterator[str]:
    run, split = report.get("run", {}), config.log.split
    yield f"- Judged: {plain(report.get('split', 'unknown'))}" + (f", {plain(' to '.join(run['judged_times']))}" if "judged_times" in run else "")
    bounds = f"train before {split.valid_from}, valid before {split.test_from}, then test" if split.by == "time" else f"of {split.column}"
    yield f"- Split by {split.by}: {plain(bounds)}"
    yield f"- SHA-256 of the judged log: {plain(report.get('dataset_digest', 'unknown'))}"
    if sampling := report.get("sampling"):
        yield f"- Trained on a sample: {sampling['rows']:,} of {sampling['of']:,} train rows"
    yield ""
    labels = run.get("labels", {})
    rows = [
        [
            where,
            f"{count:,}",
            *(_label(each[where]) for each in labels.values()),
        ]
        for where, count in run.get("rows", {}).items()
    ]
    yield from _table(["Split", "Rows", *(f"Mean of {task}, of known" for task in labels)], rows)


def _label(facts: Mapping[str, Any]) -> str:
    if not facts["known"]:
        return ABSENT
    return f"{ABSENT if facts['mean'] is None else number(facts['mean'])} of {facts['known']:,.0f}"


def _metrics(report: Mapping[str, Any]) -> Iterator[str]:
    yield from _table(*cells(report))
    rows = [[task, name, metric_text(found)] for task, name, found in _values(report) if found["value"] is not None]
    yield from _table(["Task", "Metric", "Value (95 % interval)"], rows)


def _slices(report: Mapping[str, Any]) -> Iterator[str]:
    rows = []
    for task, found in report["tasks"].items():
        main = MAIN_METRIC[found["kind"]]
        for column, entries in found.get("slices", {}).items():
            rows += [[task, f"{column} = {entry['value']}", f"{entry['rows']:,}", f"{main} {metric_text(entry[main])}"] for entry in entries[:SHOWN]]
    yield from _table(["Task", f"The worst {SHOWN} of each column", "Rows", "Metric"], rows)


def _calibration(report: Mapping[str, Any]) -> Iterator[str]:
    binary = {task: found for task, found in report["tasks"].items() if found["kind"] == "binary"}
    rows = []
    for task, found in binary.items():
        facts = found.get("calibration")
        fitted = "none" if facts is None else f"{facts['kind']}, {facts.get('reason') or 'fitted on ' + facts['fitted_on']}"
        rows.append([task, *(metric_text(found.get(name)) for name in CALIBRATION), fitted])
    yield from _table(["Task", *CALIBRATION.values(), "Calibration"], rows)


def _limits(report: Mapping[str, Any]) -> Iterator[str]:
    yield "- Intervals cover the choice of judged rows only, not that of the seed of training."
    reasons: dict[str, list[str]] = {}
    for task, name, found in _values(report):
        if found["value"] is None:
            reasons.setdefault(found["reason"], []).append(f"{task} {name}")
    yield from (f"- Undefined: {plain(', '.join(names))}: {plain(reason)}" for reason, names in reasons.items())
    moved = moved_inputs(report)
    for each in moved[:SHOWN]:
        yield f"- {plain(each['name'])} has moved from where it was in train: stability index {each['psi']:.3f}"
    if len(moved) > SHOWN:
        yield f"- and {len(moved) - SHOWN} more inputs have moved, see report.html"


def _use(config: Config) -> list[str]:
    serve = 'from mtrec import load_artifact\n\nscores = load_artifact("RUN/export").predict(rows)'
    outputs = ", ".join(plain(name) for name in output_names(config.tasks))
    return [f"RUN is the folder of this file. Outputs: {outputs}.", "", f"```bash\nmtrec export RUN\n```\n\n```python\n{serve}\n```"]


def _made_with(report: Mapping[str, Any], config: Config) -> Iterator[str]:
    yield f"- seed: {config.seed}"
    yield from (f"- {plain(name)}: {plain(version)}" for name, version in report.get("run", {}).get("environment", {}).items())


def _values(report: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Task, name and value of each metric."""
    for task, found in report["tasks"].items():
        yield from ((task, name, each) for name, each in found.items() if isinstance(each, dict) and "value" in each)
