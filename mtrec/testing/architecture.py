"""What every architecture promises, as checks that each take its class and its options.

The checks are grouped by what they look at: `architecture_forward`, `architecture_training`, `architecture_export`.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from mtrec.testing.architecture_export import EXPORT_CHECKS
from mtrec.testing.architecture_forward import FORWARD_CHECKS
from mtrec.testing.architecture_training import TRAINING_CHECKS
from mtrec.testing.suite import Checks, run_suite

__all__ = ["ARCHITECTURE_CHECKS", "check_architecture"]

ARCHITECTURE_CHECKS: Checks = {check.__name__: check for check in (*FORWARD_CHECKS, *TRAINING_CHECKS, *EXPORT_CHECKS)}


def check_architecture(architecture: type[Any], config: BaseModel, expected_failures: Mapping[str, str] | None = None) -> None:
    """Assert that an architecture keeps its contract, all faults in one report.

    The contract: `__init__(width, num_units, num_tasks, config)`, which raises ConfigError for a number of units that it cannot read;
    attributes `paper`, `requires` and `output_width`; a scriptable `forward(x [B, D] or [B, U, D]) -> z [B, T, output_width]`. One that
    requires `fields` reads tokens, [B, number of tokens, D]; one with `takes` says which of the encoders' `gives` it reads. One with
    `needs_categories = True` gets the category of each task, a list of whole numbers from 0, as `categories`. A class with `num_parameters`,
    which takes the arguments of `__init__`, is held to it, and one with `task_output` to `forward(x) = tasks(shared(x))`, of which
    `task_output(shared, t)` is task t, [B, output_width], and all of which is what `tasks_apart` gives where `linear_gates(shared)` is not None.

    Args:
        architecture: the class.
        config: its options.
        expected_failures: name of a check -> reason; by default those that the class declares.
    """
    run_suite(ARCHITECTURE_CHECKS, architecture, config, expected_failures)
