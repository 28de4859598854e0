"""A report for the terminal."""

import math
from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from mtrec.data.split import SPLITS
from mtrec.inspection.rates import LabelFacts
from mtrec.inspection.report import Report

__all__ = ["tables"]

ABSENT = "–"
_COLOURS = {"leak": "bold red", "warning": "yellow", "note": ""}


def tables(report: Report) -> Iterator[Table | Text]:
    """Splits and labels, inputs, what is ignored, and the findings."""
    yield _splits(report)
    yield _inputs(report)
    if report.ignored:
        yield Text(f"Columns of the log that nothing reads: {', '.join(report.ignored)}")
    yield _findings(report)


def _table(title: str, *headings: str, left: int = 1) -> Table:
    table = Table(title=Text(title))
    for place, heading in enumerate(headings):
        table.add_column(Text(heading), justify="left" if place < left else "right", overflow="fold")
    return table


def _splits(report: Report) -> Table:
    table = _table("Rows and labels: mean (rows that know it)", "", *SPLITS)
    rows = [[f"{report.rows[split]:,}" for split in SPLITS]]
    rows += [[report.times[split][end] if split in report.times else ABSENT for split in SPLITS] for end in (0, 1)]
    rows += [[_label(labels[split], report.rows[split]) for split in SPLITS] for labels in report.labels.values()]
    for name, cells in zip(["rows", "first time", "last time", *report.labels], rows, strict=True):
        table.add_row(Text(name), *(Text(cell) for cell in cells))
    return table


def _label(label: LabelFacts, num_rows: int) -> str:
    return ABSENT if not label.known else f"{label.mean:.4g} ({label.known / num_rows:.1%})"


def _inputs(report: Report) -> Table:
    headings = ("Input", "Read as", "Missing, % in train, valid, test", "Not in train, % in valid, test", "PSI, valid, test")
    table = _table("Inputs", *headings, left=2)
    for name, facts in report.inputs.items():
        missing = " ".join(_percent(facts.missing[split]) for split in SPLITS)
        unseen = " ".join(_percent(facts.unseen[split]) for split in ("valid", "test") if split in facts.unseen)
        moved = " ".join(f"{facts.psi[split]:.3f}" for split in ("valid", "test") if split in facts.psi)
        cells = (name, f"{facts.kind} ({facts.type})", missing, unseen or ABSENT, moved or ABSENT)
        table.add_row(*(Text(cell) for cell in cells))
    return table


def _percent(share: float) -> str:
    return ABSENT if math.isnan(share) else f"{100 * share:.1f}"


def _findings(report: Report) -> Table:
    counts = {level: sum(finding.level == level for finding in report.findings) for level in ("leak", "warning", "note")}
    table = _table(", ".join(f"{count} {level}{'' if count == 1 else 's'}" for level, count in counts.items()), "", "Where", "What", left=3)
    for finding in report.findings:
        table.add_row(Text(finding.level, _COLOURS[finding.level]), Text(finding.where), Text(finding.sentence))
    return table
