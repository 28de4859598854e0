"""What every aggregator promises, as checks that each take its class and its options.

Shapes: T tasks, N elements of the cut.
"""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from pydantic import BaseModel
from torch import Tensor
from torch.testing import assert_close

from mtrec.testing.suite import Check, Checks, round_trips, run_suite

__all__ = ["AGGREGATOR_CHECKS", "check_aggregator", "gradients_of_step"]


def check_aggregator(aggregator: type[Any], config: BaseModel, expected_failures: Mapping[str, str] | None = None) -> None:
    """Assert that an aggregator keeps its contract, all faults in one report.

    The contract: `__init__(num_tasks, config)`, a module whose `forward(rows [T, N], gramian [T, T] = None)` gives [N] in the rows' type; the
    Gramian is given where it is not that of these rows alone. All that it remembers is in its state.

    Args:
        aggregator: the class.
        config: its options.
        expected_failures: name of a check -> reason; by default those that the class declares.
    """
    run_suite(AGGREGATOR_CHECKS, aggregator, config, expected_failures)


def gradients_of_step(step: int, num_tasks: int, num_elements: int = 24, dtype: torch.dtype = torch.float64) -> Tensor:
    """Gradients as a run gives them, [T, N]: of different lengths, some of them in conflict."""
    generator = torch.Generator().manual_seed(step)
    rows_TN = torch.randn(num_tasks, num_elements, generator=generator, dtype=torch.float64)
    lengths_T1 = 10.0 ** torch.linspace(-1, 1, num_tasks, dtype=torch.float64).unsqueeze(1)
    return ((rows_TN - 0.6 * rows_TN.mean(0)) * lengths_T1).to(dtype)


def check_config_round_trips(aggregator: type[Any], config: BaseModel) -> None:
    assert round_trips(config), "the Config does not survive being written and read"


def check_one_task_is_left_alone(aggregator: type[Any], config: BaseModel) -> None:
    part = aggregator(1, config)
    for step in range(3):
        rows_TN = gradients_of_step(step, 1)
        assert_close(part(rows_TN), rows_TN[0])


def check_tasks_that_agree_keep_their_direction(aggregator: type[Any], config: BaseModel) -> None:
    row_N = gradients_of_step(0, 1)[0]
    found_N = aggregator(3, config)(row_N.expand(3, -1).clone())
    assert_close(found_N / found_N.norm(), row_N / row_N.norm())


def check_a_zero_row_takes_no_part(aggregator: type[Any], config: BaseModel) -> None:
    """The gradient of a task that the batch knows no label of."""
    rows_TN = gradients_of_step(1, 3)
    with_zero = torch.cat([rows_TN[:1], torch.zeros_like(rows_TN[:1]), rows_TN[1:]])
    assert_close(aggregator(4, config)(with_zero), aggregator(3, config)(rows_TN))
    assert torch.equal(aggregator(3, config)(torch.zeros_like(rows_TN)), torch.zeros_like(rows_TN[0])), "nothing becomes something"


def check_task_order_is_kept(aggregator: type[Any], config: BaseModel) -> None:
    order = [2, 0, 3, 1]
    straight, permuted = aggregator(4, config), aggregator(4, config)
    for step in range(5):
        rows_TN = gradients_of_step(step, 4)
        assert_close(permuted(rows_TN[order]), straight(rows_TN))


def check_scale_is_kept(aggregator: type[Any], config: BaseModel) -> None:
    for scale in (1e-6, 3.0, 1e6):
        rows_TN = gradients_of_step(2, 4)
        assert_close(aggregator(4, config)(scale * rows_TN), scale * aggregator(4, config)(rows_TN))


def check_hard_cases_stay_finite(aggregator: type[Any], config: BaseModel) -> None:
    row_N, other_N = gradients_of_step(3, 2, dtype=torch.float32)
    cases = {
        "opposite": torch.stack([row_N, -row_N]),
        "nearly opposite": torch.stack([row_N, -row_N + 1e-6 * other_N]),
        "nearly parallel": torch.stack([row_N, row_N + 1e-6 * other_N]),
        "of very different lengths": torch.stack([1e-8 * row_N, 1e8 * other_N]),
        "short": torch.stack([1e-15 * row_N, 1e-15 * other_N]),
        "long": torch.stack([1e15 * row_N, 1e15 * other_N]),
    }
    for name, rows_TN in cases.items():
        assert aggregator(2, config)(rows_TN).isfinite().all(), f"gradients that are {name} give what is not finite"


def check_float32_is_near_float64(aggregator: type[Any], config: BaseModel) -> None:
    single, double = aggregator(4, config), aggregator(4, config)
    for step in range(5):
        rows_TN = gradients_of_step(step, 4, dtype=torch.float32)
        found_N, expected_N = single(rows_TN), double(rows_TN.double())
        assert found_N.dtype == torch.float32, f"float32 rows give {found_N.dtype}"
        apart = float((found_N - expected_N).norm() / expected_N.norm())
        assert apart <= 1e-4, f"step {step}: {apart:.1e} apart"


def check_gramian_may_be_given(aggregator: type[Any], config: BaseModel) -> None:
    rows_TN = gradients_of_step(4, 3)
    assert_close(aggregator(3, config)(rows_TN, rows_TN @ rows_TN.T), aggregator(3, config)(rows_TN))


def check_state_round_trips(aggregator: type[Any], config: BaseModel) -> None:
    part, restored = aggregator(4, config), aggregator(4, config)
    for step in range(3):
        part(gradients_of_step(step, 4))
    restored.load_state_dict(copy.deepcopy(part.state_dict()), strict=True)
    for step in range(3, 6):
        rows_TN = gradients_of_step(step, 4)
        assert torch.equal(restored(rows_TN), part(rows_TN)), f"step {step}: a restored aggregator gives another gradient"


_CHECKS: tuple[Check, ...] = (
    check_config_round_trips,
    check_one_task_is_left_alone,
    check_tasks_that_agree_keep_their_direction,
    check_a_zero_row_takes_no_part,
    check_task_order_is_kept,
    check_scale_is_kept,
    check_hard_cases_stay_finite,
    check_float32_is_near_float64,
    check_gramian_may_be_given,
    check_state_round_trips,
)
AGGREGATOR_CHECKS: Checks = {check.__name__: check for check in _CHECKS}
