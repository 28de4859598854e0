"""Which feedback the declared histories and counters may see, and which group metrics that voids.

A metric within groups compares rows of one group. Where the inputs of a later row hold the outcomes of earlier rows of the same group, it is
not valid: with n rows and k positives in a group, a count of earlier positives tells which outcomes are already used up. With labels shuffled
within each user, so with nothing to learn, minus the running count of clicks still scores well above one half.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta

import pyarrow as pa

from mtrec.inspection.finding import Finding
from mtrec.schema import Roles
from mtrec.sections import HistoryEntry, duration

__all__ = ["feedback", "length_of", "voided_groups"]

DAY = timedelta(days=1)
_UNITS = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "day": "days"}


def feedback(history: Mapping[str, HistoryEntry]) -> list[Finding]:
    """A sentence for each declared history and counter."""
    found = []
    for name, entry in history.items():
        until = "the row (streaming)" if entry.as_of == "event" else "the start of the row's day (frozen)"
        ago = f"{entry.delay} before " if duration(entry.delay) else ""
        found.append(Finding("note", f"history.{name}", f"It sees the feedback of events strictly before {ago}{until}.", {}))
    return found


def voided_groups(history: Mapping[str, HistoryEntry], groups: Sequence[str], roles: Roles, judged: timedelta | None) -> list[Finding]:
    """A warning for each history or counter that voids metrics within groups.

    Args:
        groups: the columns or roles that name a group, such as [user] or [user, day]; `day` stands for the day of the row.
        judged: from the first to the last judged row; None where it is not known, which is taken for longer than any delay.
    """
    if not groups:
        return []
    named = {role: column for role, column in (("user", roles.user), ("item", roles.item), ("session", roles.session)) if column is not None}
    by = {named.get(group, group) for group in groups} - {"day"}
    span = timedelta.max if judged is None else judged
    if "day" in groups:
        span = min(span, DAY)
    found = []
    for name, entry in history.items():
        frozen_inside = entry.as_of == "day" and ("day" in groups or span <= DAY)
        if frozen_inside or duration(entry.delay) >= span or not by:
            continue
        advice = "Use as_of: day, and groups of user and day." if entry.as_of == "event" else "Judge within user and day."
        sentence = (
            f"Its columns hold outcomes of earlier rows of the same group, so metrics within {', '.join(groups)} are not valid: "
            f"a model without any signal can score far from .5. {advice}"
        )
        found.append(Finding("warning", f"history.{name}", sentence, {}))
    return found


def length_of(first: float, last: float, kind: pa.DataType, unit: str) -> timedelta:
    """The time from one stored time to another; `unit` is that of whole numbers."""
    if pa.types.is_timestamp(kind):
        unit = kind.unit
    elif pa.types.is_date(kind):
        unit = "day" if pa.types.is_date32(kind) else "ms"
    amount = last - first
    return timedelta(microseconds=amount / 1000) if unit == "ns" else timedelta(**{_UNITS[unit]: amount})
