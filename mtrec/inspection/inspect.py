"""All that is looked at in a log, in one report."""

from collections.abc import Callable, Sequence

import numpy as np

from mtrec.config import Config
from mtrec.data.extended import ExtendedLog
from mtrec.data.log import LogFiles
from mtrec.inspection.drift import drift_of_inputs, drift_of_labels
from mtrec.inspection.feedback import feedback, length_of, voided_groups
from mtrec.inspection.finding import Finding
from mtrec.inspection.gather import SAMPLE_ROWS, Gathered, gather
from mtrec.inspection.inputs import Inputs
from mtrec.inspection.outcomes import inputs_that_follow_a_label
from mtrec.inspection.overlap import overlaps, repeats
from mtrec.inspection.own_rows import counters_that_count_their_row, lists_that_hold_their_row
from mtrec.inspection.rates import findings_of_rates, readable
from mtrec.inspection.report import InputFacts, Report
from mtrec.inspection.single_inputs import inputs_that_equal_a_label, inputs_that_tell_a_label
from mtrec.inspection.unlike_serving import inputs_that_name_a_row, inputs_that_tell_the_time

__all__ = ["inspect"]

UNSEEN = 0.5  # The share of unknown values in a held-out split from which an id is a warning.


def inspect(
    log: LogFiles | ExtendedLog,
    config: Config,
    ignored: Sequence[str] = (),
    groups: Sequence[str] = (),
    progress: Callable[[str, int], None] = lambda stage, rows: None,
) -> Report:
    """Look at a log as a configuration reads it. It is read once; figures of inputs rest on samples by a seeded hash, counts on all rows.

    Args:
        log: with the columns that `Inputs` names; columns of declared histories and counters are looked at where it holds them.
        ignored: columns that nothing reads, to be told.
        groups: the columns or roles within which metrics are judged, such as [user, day].

    Raises:
        DataError: if the log cannot be read as the configuration says.
    """
    inputs = Inputs(config, log.schema)
    gathered = gather(log, config, inputs, progress)
    rates, train = gathered.rates, gathered.rows["train"]
    binary = {name for name, task in config.tasks.items() if task.kind == "binary"}
    judged = gathered.rows["valid" if rates.rows["valid"] else "test"]
    drift, moved = drift_of_inputs(gathered)
    unseen = _unseen(gathered)
    time_type = log.schema.field(inputs.roles["time"]).type if "time" in inputs.roles else None
    window = None
    if time_type is not None and (last := [split for split in ("test", "valid") if split in rates.times]):
        window = length_of(*rates.times[last[0]], time_type, config.log.time.unit)
    findings = [
        *inputs_that_tell_a_label(train, judged, binary),
        *inputs_that_equal_a_label(train, binary),
        *inputs_that_follow_a_label(train, binary),
        *lists_that_hold_their_row(train, binary, config.history),
        *counters_that_count_their_row(gathered.groups, config.history),
        *findings_of_rates(rates, binary),
        *(Finding("warning", f"log.roles.{role}", f"The log has no column {column!r}.", {}) for role, column in inputs.absent.items()),
        *repeats(gathered),
        *overlaps(gathered, config.log.split.by, time_type),
        *_strangers(unseen),
        *(inputs_that_tell_the_time(gathered) if config.log.split.by == "time" else []),
        *inputs_that_name_a_row(gathered, inputs),
        *moved,
        *drift_of_labels(gathered, binary),
        *feedback(config.history),
        *voided_groups(config.history, groups, config.log.roles, window),
        *_sampled(gathered),
    ]
    return Report(
        rates.rows,
        {split: (readable(first, time_type), readable(last, time_type)) for split, (first, last) in rates.times.items() if time_type is not None},
        {task: {split: rates.label(task, split) for split in rates.rows} for task in config.tasks},
        _facts(inputs, gathered, unseen, drift),
        list(ignored),
        sorted(findings, key=lambda finding: ("leak", "warning", "note").index(finding.level)),
    )


def _unseen(gathered: Gathered) -> dict[str, dict[str, float]]:
    """By id feature and split, the share of its values that its table does not meet in train."""
    found: dict[str, dict[str, float]] = {}
    for table, features in gathered.features.items():
        counts = gathered.tables[table].counts()
        for place, feature in enumerate(features):
            for code, split in ((1, "valid"), (2, "test")):
                of_split = counts[:, code + 2 * place]
                if total := int(of_split.sum()):
                    found.setdefault(feature, {})[split] = int(of_split[counts[:, 0] == 0].sum()) / total
    return found


def _strangers(unseen: dict[str, dict[str, float]]) -> list[Finding]:
    return [
        Finding("warning", name, f"{share:.0%} of its values in {split} do not occur in train.", {"unseen": share})
        for name, shares in unseen.items()
        for split, share in shares.items()
        if share >= UNSEEN
    ]


def _sampled(gathered: Gathered) -> list[Finding]:
    sampled = [split for split, rows in gathered.rows.items() if rows.num_rows < gathered.rates.rows[split]]
    sentence = f"Inputs were judged on the {SAMPLE_ROWS:,} rows of smallest hash."
    return [Finding("note", ", ".join(sampled), sentence, {"rows": float(SAMPLE_ROWS)})] if sampled else []


def _facts(inputs: Inputs, gathered: Gathered, unseen: dict[str, dict[str, float]], drift: dict[str, dict[str, float]]) -> dict[str, InputFacts]:
    rows = gathered.rates.rows
    columns = {source.name: source.columns for source in inputs.ids}
    lists = gathered.rows["train"].lengths
    found = {}
    for name, missing in gathered.rates.missing.items():
        kind = "list" if name in lists else "number" if name in inputs.numbers and name not in columns else "id"
        types = ", ".join(inputs.types[column] for column in columns.get(name, (name,)))
        shares = {split: count / rows[split] if rows[split] else float(np.nan) for split, count in missing.items()}
        found[name] = InputFacts(kind, types, shares, unseen.get(name, {}), drift.get(f"length of {name}" if kind == "list" else name, {}))
    return found
