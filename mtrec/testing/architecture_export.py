"""Checks that what is served is what was trained: script, frozen script, exported program, reduced precision."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from pydantic import BaseModel
from torch import Tensor, nn
from torch.testing import assert_close

from mtrec.errors import ConfigError
from mtrec.testing.architecture_case import NUM_TASKS, build, rows
from mtrec.testing.suite import Check

__all__ = ["EXPORT_CHECKS", "quiet_script"]


@contextmanager
def quiet_script() -> Iterator[None]:
    """Torch 2.13 warns of every use of TorchScript that it is deprecated; the artifact is TorchScript on purpose."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"`torch\.jit\.\w+` is deprecated", category=DeprecationWarning)
        yield


def check_script_and_frozen_are_bitwise_equal(architecture: type[Any], config: BaseModel) -> None:
    for model, x in _cases(architecture, config):
        expected = model(x)
        with quiet_script():
            scripted = torch.jit.script(model)
            frozen = torch.jit.freeze(scripted, optimize_numerics=False)
            # Several calls: from the second on the profiling executor runs another program.
            for _ in range(3):
                assert torch.equal(scripted(x), expected), "the script differs from eager"
                assert torch.equal(frozen(x), expected), "the frozen script differs from eager"


def check_exported_program_is_equal(architecture: type[Any], config: BaseModel) -> None:
    for model, x in _cases(architecture, config):
        program = torch.export.export(model, (x,), dynamic_shapes=({0: torch.export.Dim("batch")},))
        for num_rows in (2, 129):
            other = torch.cat([x] * 10)[:num_rows]
            assert_close(program.module()(other), model(other), rtol=1e-6, atol=1e-6)


def check_bf16_is_finite(architecture: type[Any], config: BaseModel) -> None:
    model = build(architecture, config).train()
    with torch.autocast("cpu", torch.bfloat16):
        z_BTH = model(rows(architecture, 65))
    assert z_BTH.isfinite().all(), "an output is not finite"
    torch.autograd.backward(z_BTH.float().square().mean())
    for name, parameter in model.named_parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all(), f"the gradient of {name} is not finite"


def _cases(architecture: type[Any], config: BaseModel) -> Iterator[tuple[nn.Module, Tensor]]:
    for num_units in (1, NUM_TASKS):
        try:
            model = build(architecture, config, num_units=num_units)
        except ConfigError:
            continue
        yield model.eval(), rows(architecture, 17, num_units=num_units)


EXPORT_CHECKS: tuple[Check, ...] = (
    check_script_and_frozen_are_bitwise_equal,
    check_exported_program_is_equal,
    check_bf16_is_finite,
)
