"""DTRN as an encoder: what it puts together, what its options do, and what it refuses."""

from typing import Any

import pytest
import torch
from torch.testing import assert_close

from mtrec.errors import ConfigError
from mtrec.model.encoders.dtrn import Config, Dtrn
from mtrec.testing.encoder import check_encoder
from mtrec.testing.encoder_case import features, shape_for

T = 3
SHAPE = shape_for(Dtrn)
NUM_NUMBERS = SHAPE.flat - SHAPE.num_fields * SHAPE.width


def make(**options: Any) -> Dtrn:
    torch.manual_seed(0)
    return Dtrn(SHAPE, T, Config.model_validate(options)).eval()


def speaking(**options: Any) -> Dtrn:
    """With a hypernetwork and a refinement that do something."""
    encoder = make(**options).requires_grad_(False)
    for parameter in (*encoder.interests.hyper_output.parameters(), *encoder.refinement.excited.parameters()):
        parameter.normal_()
    return encoder


@pytest.mark.parametrize(
    "options",
    [
        {"tim": {"layers": 2, "pooling": "mean", "position": False}, "trm": {"squeeze": "mean", "granularity": "element", "reduction": 5}},
        {"tim": {"heads": 4, "feed_forward": 5}, "hyper": {"dim": 2, "hidden": 3}, "dropout": 0.1},
    ],
)
def test_options_keep_the_contract(options: dict[str, Any]) -> None:
    check_encoder(Dtrn, Config.model_validate(options))


def test_at_the_start_each_task_reads_numbers_fields_and_interests_as_they_are() -> None:
    encoder, given = make(), features(Dtrn, 9)
    x_BTD = encoder(given)
    interests_BTSd = encoder.interests(given.sequences, given.lengths, given.candidate)
    for task in range(T):
        expected = torch.cat([given.flat[:, :NUM_NUMBERS], given.fields.flatten(1), interests_BTSd[:, task].flatten(1)], 1)
        assert_close(x_BTD[:, task], expected, rtol=0, atol=0)
        assert torch.equal(x_BTD[:, task], x_BTD[:, 0])
    assert (encoder.num_units, encoder.output_width, x_BTD.shape[2]) == (T, expected.shape[1], expected.shape[1])


def test_numbers_are_not_weighed() -> None:
    given = features(Dtrn, 9)
    x_BTD = speaking()(given)
    assert torch.equal(x_BTD[:, :, :NUM_NUMBERS], given.flat[:, None, :NUM_NUMBERS].expand(-1, T, -1))
    assert not torch.equal(x_BTD[:, 0, NUM_NUMBERS:], x_BTD[:, 1, NUM_NUMBERS:])


def test_the_embedding_of_a_task_moves_that_task_alone() -> None:
    encoder, given = speaking(), features(Dtrn, 9)
    before = encoder(given)
    encoder.interests.task_Te[1] += 1.0
    after = encoder(given)
    assert torch.equal(after[:, [0, 2]], before[:, [0, 2]]) and not torch.equal(after[:, 1], before[:, 1])


def test_what_lies_behind_a_sequence_never_matters() -> None:
    encoder, given = speaking(), features(Dtrn, 33)
    behind = torch.arange(SHAPE.max_length) >= given.lengths.unsqueeze(2)
    other = given._replace(sequences=given.sequences.masked_fill(behind.unsqueeze(3), 1e20))
    assert torch.equal(encoder(other), encoder(given))


@pytest.mark.parametrize(
    ("shape", "options", "told"),
    [
        (SHAPE._replace(num_sequences=0, max_length=0), {}, "dtrn reads behaviour sequences.*Declare features.sequences, or take encoder concat"),
        (SHAPE._replace(has_candidate=False), {}, "which is not among the ids.*log.roles.item.*or set tim.pooling to mean"),
        (SHAPE, {"tim": {"heads": 3}}, "a multiple of its heads.*embedding_dim 8, tim.heads 3"),
    ],
)
def test_what_it_cannot_read_is_refused(shape: Any, options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        Dtrn(shape, T, Config.model_validate(options))


def test_without_a_candidate_the_mean_works() -> None:
    encoder = Dtrn(SHAPE._replace(has_candidate=False), T, Config.model_validate({"tim": {"pooling": "mean"}}))
    given = features(Dtrn, 5)
    assert encoder(given._replace(candidate=torch.zeros(5, 0))).shape == (5, T, encoder.output_width)
