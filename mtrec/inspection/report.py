"""What a look at a log found: figures, findings, and whether they are to stop what comes next."""

from typing import NamedTuple

from mtrec.errors import DataError
from mtrec.inspection.finding import Finding
from mtrec.inspection.rates import LabelFacts

__all__ = ["InputFacts", "Report"]


class InputFacts(NamedTuple):
    """What is known of one input; shares by split.

    Attributes:
        kind: number, id, or list.
        missing: null, NaN, infinite or empty, in train, valid, test.
        unseen: values that train does not have, in valid and test; empty for numbers.
        psi: population stability index, in valid and test; of a list's length.
    """

    kind: str
    type: str
    missing: dict[str, float]
    unseen: dict[str, float]
    psi: dict[str, float]


class Report(NamedTuple):
    """What a look at a log found.

    Attributes:
        rows, times: by split.
        labels: by task and split.
        inputs: by name.
        ignored: columns that nothing reads.
        findings: leaks first, then warnings, then notes.
    """

    rows: dict[str, int]
    times: dict[str, tuple[str, str]]
    labels: dict[str, dict[str, LabelFacts]]
    inputs: dict[str, InputFacts]
    ignored: list[str]
    findings: list[Finding]

    @property
    def leaks(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.level == "leak"]

    def refuse_leaks(self) -> None:
        """Do nothing, or

        Raises:
            DataError: if there is a leak, naming each.
        """
        if self.leaks:
            found = "; ".join(f"{leak.where}: {leak.sentence.rstrip('.')}" for leak in self.leaks)
            do = "Take these columns out of the features, or make them of what was known before the row."
            raise DataError(f"The inputs leak the outcome in {len(self.leaks)} places", where="features", found=found, do=do)
