"""What every pooling of sequences promises, as checks that each take its class and its options."""

from collections.abc import Mapping
from typing import Any

import torch
from pydantic import BaseModel
from torch import Tensor, nn
from torch.testing import assert_close

from mtrec.testing.architecture_export import quiet_script
from mtrec.testing.suite import Check, Checks, round_trips, run_suite

__all__ = ["POOLING_CHECKS", "check_pooling"]

WIDTH, MAX_LENGTH = 8, 5


def check_pooling(pooling: type[Any], config: BaseModel, expected_failures: Mapping[str, str] | None = None) -> None:
    """Assert that a pooling keeps its contract, all faults in one report.

    The contract: `__init__(width, config)`; `requires`, which may hold "candidate"; a scriptable `forward(sequence [B, L, d], lengths [B],
    candidate [B, d]) -> [B, d]` that gives zeros for an empty sequence and never looks behind a sequence's last position. A class with
    `num_parameters`, which takes the arguments of `__init__`, is held to it.

    Args:
        pooling: the class.
        config: its options.
        expected_failures: name of a check -> reason; by default those that the class declares.
    """
    run_suite(POOLING_CHECKS, pooling, config, expected_failures)


def check_config_round_trips(pooling: type[Any], config: BaseModel) -> None:
    assert round_trips(config), "the Config does not survive being written and read"


def check_shape_and_finiteness(pooling: type[Any], config: BaseModel) -> None:
    model = _build(pooling, config)
    for num_rows in (0, 1, 257):
        pooled = model(*_inputs(num_rows))
        assert pooled.shape == (num_rows, WIDTH) and pooled.isfinite().all(), f"B={num_rows}: {tuple(pooled.shape)}, or not finite"


def check_an_empty_sequence_gives_zeros(pooling: type[Any], config: BaseModel) -> None:
    sequence, lengths, candidate = _inputs(33)
    pooled = _build(pooling, config)(sequence, lengths, candidate)
    assert not pooled[lengths == 0].any(), "an empty sequence gives something"
    assert pooled[lengths > 0].any(dim=1).all(), "a sequence with elements gives nothing"


def check_padding_never_matters(pooling: type[Any], config: BaseModel) -> None:
    sequence, lengths, candidate = _inputs(33)
    model, behind = _build(pooling, config), torch.arange(MAX_LENGTH) >= lengths.unsqueeze(1)
    for filler in (1e30, float("nan"), float("inf")):
        pooled = model(sequence.masked_fill(behind.unsqueeze(2), filler), lengths, candidate)
        assert torch.equal(pooled, model(sequence, lengths, candidate)), f"{filler} behind a sequence changes what it gives"
    longer = torch.cat([sequence, torch.ones(33, 3, WIDTH)], dim=1)
    assert_close(model(longer, lengths, candidate), model(sequence, lengths, candidate), rtol=0, atol=1e-6)


def check_reads_no_more_than_required(pooling: type[Any], config: BaseModel) -> None:
    sequence, lengths, candidate = _inputs(33)
    model = _build(pooling, config)
    if "candidate" in pooling.requires:
        assert not torch.equal(model(sequence, lengths, candidate), model(sequence, lengths, candidate + 1)), "the candidate is not read"
    else:
        assert torch.equal(model(sequence, lengths, candidate), model(sequence, lengths, torch.zeros(33, 0))), "the candidate is read"


def check_rows_do_not_see_each_other(pooling: type[Any], config: BaseModel) -> None:
    model, together = _build(pooling, config), _inputs(33)
    apart = [model(*parts) for parts in zip(*(part.split(1) for part in together), strict=True)]
    assert_close(torch.cat(apart), model(*together), rtol=0, atol=1e-6)


def check_every_parameter_learns(pooling: type[Any], config: BaseModel) -> None:
    model = _build(pooling, config).train()
    sequence, lengths, candidate = _inputs(257)
    upstream = torch.randn(257, WIDTH, generator=torch.Generator().manual_seed(2))
    torch.autograd.backward((model(sequence.requires_grad_(), lengths, candidate) * upstream).sum())
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all() and parameter.grad.any(), f"{name} does not learn"
    assert sequence.grad is not None and not sequence.grad[torch.arange(MAX_LENGTH) >= lengths.unsqueeze(1)].any(), "padding has a gradient"


def check_number_of_parameters(pooling: type[Any], config: BaseModel) -> None:
    if hasattr(pooling, "num_parameters"):
        found, expected = sum(each.numel() for each in _build(pooling, config).parameters()), pooling.num_parameters(WIDTH, config)
        assert found == expected, f"{found} parameters, {expected} by its formula"


def check_script_is_bitwise_equal(pooling: type[Any], config: BaseModel) -> None:
    model = _build(pooling, config).eval()
    with quiet_script():
        scripted = torch.jit.script(model)
    for num_rows in (17, 1, 0, 33):
        assert torch.equal(scripted(*_inputs(num_rows)), model(*_inputs(num_rows))), "the script differs from eager"


def _build(pooling: type[Any], config: BaseModel) -> nn.Module:
    """With weights drawn at random, those that start at zero too."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model: nn.Module = pooling(WIDTH, config)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.1)
    return model


def _inputs(num_rows: int) -> tuple[Tensor, Tensor, Tensor]:
    """Sequences of every length from none on, zeros behind them, and candidates."""
    generator = torch.Generator().manual_seed(1)
    lengths = torch.arange(num_rows) % (MAX_LENGTH + 1)
    sequence = torch.randn(num_rows, MAX_LENGTH, WIDTH, generator=generator)
    known = torch.arange(MAX_LENGTH) < lengths.unsqueeze(1)
    return sequence * known.unsqueeze(2), lengths, torch.randn(num_rows, WIDTH, generator=generator)


_CHECKS: tuple[Check, ...] = (
    check_config_round_trips,
    check_shape_and_finiteness,
    check_an_empty_sequence_gives_zeros,
    check_padding_never_matters,
    check_reads_no_more_than_required,
    check_rows_do_not_see_each_other,
    check_every_parameter_learns,
    check_number_of_parameters,
    check_script_is_bitwise_equal,
)
POOLING_CHECKS: Checks = {check.__name__: check for check in _CHECKS}
