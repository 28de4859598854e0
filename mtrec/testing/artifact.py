"""What every exported artifact promises, as checks that anyone can run on theirs."""

from collections.abc import Callable
from pathlib import Path

import torch

from mtrec.errors import GateError
from mtrec.testing.artifact_case import ArtifactCase, Check, open_case
from mtrec.testing.artifact_process import SURROUNDINGS_CHECKS
from mtrec.testing.artifact_requests import REQUEST_CHECKS
from mtrec.testing.artifact_scores import SCORE_CHECKS

__all__ = ["ARTIFACT_CHECKS", "check_artifact"]

ARTIFACT_CHECKS: dict[str, Check] = {check.__name__: check for check in (*SCORE_CHECKS, *REQUEST_CHECKS, *SURROUNDINGS_CHECKS)}

# A wrong program can fail in any way, and the other checks are to run all the same.
FAILURES = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError, torch.jit.Error)


def check_artifact(path: str | Path, report: Callable[[str, bool], None] = lambda name, ok: None) -> list[tuple[str, bool]]:
    """Hold an artifact to its promises, all faults in one report.

    It repeats its golden scores; no score depends on the rows beside it; hard rows have finite scores and wrong requests are refused by name; it
    scores in every gradient mode, in many threads, after a fork, and in a process that has torch alone.

    Args:
        path: of the artifact.
        report: called after each check with its name and whether it was passed, for those who print them.

    Returns:
        (name, passed) of each check: all passed, if this returns.

    Raises:
        BundleError: if a file is damaged, missing or added.
        GateError: naming every check that failed, and how.
    """
    case = open_case(path)
    report("files_are_those_of_the_manifest", True)
    faults = {name: _fault(check, case, report) for name, check in ARTIFACT_CHECKS.items()}
    failed = [f"{name}: {fault}" for name, fault in faults.items() if fault is not None]
    if failed:
        found = "; ".join(failed)
        raise GateError(f"The artifact fails {len(failed)} of {len(faults)} checks", where=path, found=found, do="Do not serve it.")
    return [("files_are_those_of_the_manifest", True), *((name, True) for name in faults)]


def _fault(check: Check, case: ArtifactCase, report: Callable[[str, bool], None]) -> str | None:
    fault = None
    try:
        check(case)
    except FAILURES as error:
        fault = str(error) if isinstance(error, AssertionError | GateError) else f"{type(error).__name__}: {error}"
    report(check.__name__, fault is None)
    return fault
