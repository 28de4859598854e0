"""The dense model as a whole."""

import torch

from mtrec.model.architectures import mmoe
from mtrec.model.encoders import concat
from mtrec.model.ranker import Ranker
from mtrec.model.towers import Towers
from mtrec.testing.architecture_export import quiet_script
from mtrec.types import FeatureBatch, FeatureShape


def make() -> Ranker:
    torch.manual_seed(0)
    encoder = concat.Concat(FeatureShape(6, 2, 1, 3), 3, concat.Config())
    architecture = mmoe.MMoE(encoder.output_width, encoder.num_units, 3, mmoe.Config(num_experts=2, expert_hidden=[4]))
    return Ranker(encoder, architecture, Towers(architecture.output_width, 3, [4])).eval()


def features(num_rows: int) -> FeatureBatch:
    lengths = torch.zeros(num_rows, 1, dtype=torch.int64)
    return FeatureBatch(torch.randn(num_rows, 6), torch.randn(num_rows, 2, 3), torch.zeros(num_rows, 1, 4, 3), lengths, torch.zeros(num_rows, 3))


def test_is_encoder_then_architecture_then_towers() -> None:
    ranker, batch = make(), features(5)
    assert torch.equal(ranker(batch), ranker.towers(ranker.architecture(batch.flat)))
    assert ranker(batch).shape == (5, 3)


def test_script_is_bitwise_equal() -> None:
    ranker = make()
    with quiet_script():
        scripted = torch.jit.script(ranker)
        frozen = torch.jit.freeze(scripted, optimize_numerics=False)
    for num_rows in (1, 5, 0, 33):
        batch = features(num_rows)
        assert torch.equal(scripted(batch), ranker(batch))
        assert torch.equal(frozen(batch), ranker(batch))
