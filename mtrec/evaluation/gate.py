"""Whether a model may take another's place: no task worse than chance explains, and probabilities that can be taken at their word."""

from collections.abc import Mapping
from typing import Any

from mtrec.errors import GateError

__all__ = ["refuse_if_worse"]

MAIN = {"auc": 1, "rmse": -1}  # the metric that judges a task, and the sign of what is good


def refuse_if_worse(tasks: Mapping[str, Mapping[str, Mapping[str, Any]]], bounds: tuple[float, float] = (0.9, 1.1)) -> None:
    """See that the first model of a comparison may replace the second.

    A task is worse where the whole interval of its difference in AUC, or RMSE, lies on the bad side of 0; a difference without an interval is
    taken at its word, and one that is undefined cannot be let through.

    Args:
        tasks: the differences by task and metric, as `compare_rows` gives them.
        bounds: between which predicted / actual of the first model must lie, on every binary task.

    Raises:
        GateError: with every task that stands against it.
    """
    faults = []
    for task, metrics in tasks.items():
        name = next(name for name in MAIN if name in metrics)
        found = metrics[name]
        if "difference" not in found:
            faults.append(f"`{task}`: its {name} cannot be compared: {found['reason']}")
        elif (worst := max(MAIN[name] * found.get(end, found["difference"]) for end in ("low", "high"))) < 0:
            faults.append(f"`{task}`: {name} is worse by {abs(found['difference']):.4g}, and by at least {-worst:.4g}")
        ratio = metrics.get("predicted_over_actual", {}).get("first")
        if ratio is not None and not bounds[0] <= ratio <= bounds[1]:
            faults.append(f"`{task}`: predicted over actual is {ratio:.4g}, outside of {bounds[0]:g} to {bounds[1]:g}")
    if faults:
        raise GateError(f"The gate says no: {'; '.join(faults)}", do="Keep the model that serves now.")
