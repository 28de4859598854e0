"""A matrix as a table whose cells are tinted by their values: text that prints, without scripts, on light and dark pages."""

from collections.abc import Sequence
from html import escape

__all__ = ["heat_table"]

ABOVE, BELOW = "59 130 196", "217 130 43"  # the first two colours of the plots
STRONGEST = 0.65  # of the tint, so that the ink of either page stays readable
ABSENT = "–"


def heat_table(corner: str, columns: Sequence[str], rows: Sequence[str], values: Sequence[Sequence[float | None]]) -> str:
    """A row for each of `rows`, a column for each of `columns`; tints go from none at 0 to the strongest at the largest absolute value.

    Values below 0 have a colour of their own; None is a dash. Nothing of the names is markup.
    """
    largest = max((abs(value) for row in values for value in row if value is not None), default=0.0)
    labels = [escape(column) for column in columns]
    head = "".join(f'<th scope="col">{label}</th>' for label in [escape(corner), *labels])
    lines = []
    for name, row in zip(rows, values, strict=True):
        cells = "".join(_cell(label, value, largest) for label, value in zip(labels, row, strict=True))
        lines.append(f'<tr><td data-label="{escape(corner)}">{escape(name)}</td>{cells}</tr>\n')
    table = f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{''.join(lines)}</tbody>\n</table>"
    return f'<div style="overflow-x: auto; print-color-adjust: exact; -webkit-print-color-adjust: exact">\n{table}\n</div>'


def _cell(label: str, value: float | None, largest: float) -> str:
    if value is None:
        return f'<td data-label="{label}">{ABSENT}</td>'
    strength = STRONGEST * abs(value) / largest if largest else 0.0
    return f'<td data-label="{label}" style="background: rgb({ABOVE if value >= 0 else BELOW} / {strength:.2f})">{value:.2f}</td>'
