"""The suites can fail: each broken part is caught by the check that looks for it."""

import pytest
import torch
from pydantic import NonNegativeFloat
from torch import Tensor, nn

from mtrec.schema import Strict
from mtrec.testing.architecture import ARCHITECTURE_CHECKS, check_architecture
from mtrec.testing.suite import run_check
from mtrec.testing.weighting import WEIGHTING_CHECKS, check_weighting
from mtrec.types import Signals


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Config(Strict):
    dropout: NonNegativeFloat = 0.0


class Sound(nn.Module):
    """A linear architecture without faults."""

    paper = "none"
    requires = frozenset({"flat"})

    def __init__(self, width: int, num_units: int, num_tasks: int, config: Config) -> None:
        super().__init__()
        self.output_width, self.num_tasks, self.dropout = 32, num_tasks, config.dropout
        self.linear = nn.Linear(width * num_units, 32 * num_tasks)

    def forward(self, x: Tensor) -> Tensor:
        z = torch.relu(self.linear(x.flatten(1))).view(x.shape[0], self.num_tasks, 32)
        return nn.functional.dropout(z, self.dropout, self.training)


class Narrow(Sound):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[..., :-1]


class Changing(Sound):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.add_(1.0))


class Leaking(Sound):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x - x.mean(dim=0))


class Positional(Sound):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + torch.arange(x.shape[0]).view(-1, 1, 1)


class Dead(Sound):
    def __init__(self, width: int, num_units: int, num_tasks: int, config: Config) -> None:
        super().__init__(width, num_units, num_tasks, config)
        self.expert = nn.Parameter(torch.ones(4, 2))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * self.expert[:3].mean()


class Random(Sound):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(super().forward(x), 0.5, True)


class Constant(Sound):
    def forward(self, x: Tensor) -> Tensor:
        z = super().forward(x)
        return torch.cat([z[:, :-1], 0.0 * z[:, -1:] + 1.0], dim=1)


class Miscounted(Sound):
    @staticmethod
    def num_parameters(width: int, num_units: int, num_tasks: int, config: Config) -> int:
        return 1


BROKEN = {
    Narrow: "check_shape_and_finiteness",
    Changing: "check_input_is_not_changed",
    Leaking: "check_rows_do_not_see_each_other",
    Positional: "check_row_order_is_kept",
    Dead: "check_every_parameter_learns",
    Random: "check_dropout_only_in_training",
    Constant: "check_every_task_reads_its_input",
    Miscounted: "check_number_of_parameters",
}


@pytest.mark.parametrize(("part", "check"), BROKEN.items())
def test_a_broken_architecture_is_caught(part: type[Sound], check: str) -> None:
    run_check(ARCHITECTURE_CHECKS, check, Sound, Config())
    with pytest.raises(AssertionError):
        run_check(ARCHITECTURE_CHECKS, check, part, Config())


def test_a_sound_architecture_passes() -> None:
    check_architecture(Sound, Config())


def test_the_report_names_each_failure() -> None:
    with pytest.raises(AssertionError, match=r"(?s)Changing fails .*check_input_is_not_changed: forward changed its input"):
        check_architecture(Changing, Config())


def test_an_expected_failure_has_to_fail() -> None:
    check = "check_number_of_parameters"
    run_check(ARCHITECTURE_CHECKS, check, Miscounted, Config(), {check: "the formula is not known"})
    with pytest.raises(AssertionError, match="expected to fail"):
        run_check(ARCHITECTURE_CHECKS, check, Sound, Config(), {check: "the formula is not known"})
    with pytest.raises(AssertionError, match="do not exist"):
        run_check(ARCHITECTURE_CHECKS, check, Sound, Config(), {"check_nothing": "a misspelling"})


class Ones(nn.Module):
    reads: frozenset[str] = frozenset()

    def __init__(self, num_tasks: int, config: Config) -> None:
        super().__init__()
        self.num_tasks = num_tasks

    def weights(self, signals: Signals) -> Tensor:
        return torch.ones(self.num_tasks)


class Undeclared(Ones):
    def weights(self, signals: Signals) -> Tensor:
        return signals.losses.nan_to_num() / signals.losses.nan_to_num().sum() * self.num_tasks


class Forgetful(Ones):
    def __init__(self, num_tasks: int, config: Config) -> None:
        super().__init__(num_tasks, config)
        self.num_steps = 0

    def weights(self, signals: Signals) -> Tensor:
        self.num_steps += 1
        return torch.full((self.num_tasks,), float(self.num_steps))


class Leaky(Ones):
    reads = frozenset({"losses"})

    def weights(self, signals: Signals) -> Tensor:
        return signals.losses / signals.losses.sum() * self.num_tasks


class FirstFirst(Ones):
    def weights(self, signals: Signals) -> Tensor:
        return torch.arange(1.0, self.num_tasks + 1)


BROKEN_WEIGHTINGS = {
    Undeclared: "check_reads_no_more_than_declared",
    Forgetful: "check_state_round_trips",
    Leaky: "check_absent_task_does_not_leak",
    FirstFirst: "check_task_order_is_kept",
}


def test_a_sound_weighting_passes() -> None:
    check_weighting(Ones, Config())


@pytest.mark.parametrize(("part", "check"), BROKEN_WEIGHTINGS.items())
def test_a_broken_weighting_is_caught(part: type[Ones], check: str) -> None:
    with pytest.raises(AssertionError):
        run_check(WEIGHTING_CHECKS, check, part, Config())
