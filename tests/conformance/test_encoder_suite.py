"""The suite of encoders can fail: each broken one is caught by the check that looks for it; so is an architecture whose parts are not its whole."""

import pytest
import torch
from torch import Tensor, nn

from mtrec.model.architectures.multitab import Config as MultiTabConfig
from mtrec.model.architectures.multitab import MultiTab
from mtrec.schema import Strict
from mtrec.testing.architecture import ARCHITECTURE_CHECKS
from mtrec.testing.encoder import ENCODER_CHECKS, check_encoder
from mtrec.testing.suite import run_check
from mtrec.types import FeatureBatch, FeatureShape


class Config(Strict):
    pass


class Sound(nn.Module):
    """A linear encoder without faults."""

    requires = frozenset({"flat"})
    gives = "flat"
    num_units = 1

    def __init__(self, shape: FeatureShape, num_tasks: int, config: Config) -> None:
        super().__init__()
        self.output_width = 8
        self.linear = nn.Linear(shape.flat, 8)

    def forward(self, features: FeatureBatch) -> Tensor:
        y: Tensor = self.linear(features.flat)
        return y


class Units(Sound):
    gives = "units"


class Greedy(Sound):
    def forward(self, features: FeatureBatch) -> Tensor:
        return super().forward(features) + features.candidate


class Changing(Sound):
    def forward(self, features: FeatureBatch) -> Tensor:
        return super().forward(features._replace(flat=features.flat.add_(1.0)))


class Leaking(Sound):
    def forward(self, features: FeatureBatch) -> Tensor:
        y = super().forward(features)
        return y - y.mean(dim=0)


class Positional(Sound):
    def forward(self, features: FeatureBatch) -> Tensor:
        return super().forward(features) + torch.arange(features.flat.shape[0]).view(-1, 1)


class Miscounted(Sound):
    @staticmethod
    def num_parameters(shape: FeatureShape, num_tasks: int, config: Config) -> int:
        return 1


class Dead(Sound):
    def __init__(self, shape: FeatureShape, num_tasks: int, config: Config) -> None:
        super().__init__(shape, num_tasks, config)
        self.shift = nn.Parameter(torch.zeros(4))

    def forward(self, features: FeatureBatch) -> Tensor:
        return super().forward(features) + self.shift[:3].sum()


BROKEN = {
    Units: "check_shape_and_finiteness",
    Greedy: "check_reads_no_more_than_required",
    Changing: "check_input_is_not_changed",
    Leaking: "check_rows_do_not_see_each_other",
    Positional: "check_row_order_is_kept",
    Miscounted: "check_number_of_parameters",
    Dead: "check_every_parameter_learns",
}


def test_a_sound_encoder_passes() -> None:
    check_encoder(Sound, Config())


@pytest.mark.parametrize(("part", "check"), BROKEN.items())
def test_a_broken_encoder_is_caught(part: type[Sound], check: str) -> None:
    with pytest.raises(AssertionError):
        run_check(ENCODER_CHECKS, check, part, Config())


class Shifted(MultiTab):
    def task_output(self, shared: list[Tensor], task: int) -> Tensor:
        return super().task_output(shared, (task + 1) % self.num_tasks)


def test_parts_that_are_not_the_whole_are_caught() -> None:
    with pytest.raises(AssertionError):
        run_check(ARCHITECTURE_CHECKS, "check_parts_make_the_whole", Shifted, MultiTabConfig(hidden=6))
