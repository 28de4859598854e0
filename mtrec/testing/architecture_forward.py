"""Checks of what an architecture computes: shapes, and what a row's output may depend on."""

from typing import Any

import torch
from pydantic import BaseModel, ValidationError
from torch.testing import assert_close

from mtrec.errors import ConfigError
from mtrec.testing.architecture_case import NUM_TASKS, arguments, build, rows
from mtrec.testing.suite import Check, round_trips
from mtrec.types import FeatureBatch

__all__ = ["FORWARD_CHECKS"]


def check_config_round_trips(architecture: type[Any], config: BaseModel) -> None:
    assert round_trips(config), "the Config does not survive being written and read"
    try:
        type(config).model_validate({**config.model_dump(), "no_such_option": 1})
    except ValidationError:
        return
    raise AssertionError("the Config accepts an option that it does not have")


def check_declares_what_it_is(architecture: type[Any], config: BaseModel) -> None:
    unknown = set(architecture.requires) - set(FeatureBatch._fields)
    assert not unknown, f"requires names what FeatureBatch does not have: {sorted(unknown)}"
    assert architecture.paper, "paper says where it comes from"
    model = build(architecture, config)
    assert type(model).__name__ in repr(model)


def check_shape_and_finiteness(architecture: type[Any], config: BaseModel) -> None:
    for num_tasks in (1, 2, 5):
        model = build(architecture, config, num_tasks=num_tasks).eval()
        for num_rows in (0, 1, 257):
            z_BTH = model(rows(architecture, num_rows))
            assert z_BTH.shape == (num_rows, num_tasks, model.output_width), f"T={num_tasks}, B={num_rows}: shape {tuple(z_BTH.shape)}"
            assert z_BTH.isfinite().all(), f"T={num_tasks}, B={num_rows}: not finite"


def check_several_units(architecture: type[Any], config: BaseModel) -> None:
    """Inputs that differ by unit either work or are refused at construction."""
    for num_units in (NUM_TASKS, NUM_TASKS + 1, NUM_TASKS + 2):
        try:
            model = build(architecture, config, num_units=num_units).eval()
        except ConfigError:
            continue
        for num_rows in (0, 1, 17):
            z_BTH = model(rows(architecture, num_rows, num_units=num_units))
            assert z_BTH.shape == (num_rows, NUM_TASKS, model.output_width), f"U={num_units}: shape {tuple(z_BTH.shape)}"
            assert z_BTH.isfinite().all(), f"U={num_units}: not finite"


def check_every_task_reads_its_input(architecture: type[Any], config: BaseModel) -> None:
    model = build(architecture, config).eval()
    x = rows(architecture, 8).requires_grad_()
    z_BTH = model(x)
    for task in range(NUM_TASKS):
        (gradient,) = torch.autograd.grad(z_BTH[:, task].sum(), x, retain_graph=True)
        assert (gradient != 0).flatten(1).any(dim=1).all(), f"the output of task {task} does not depend on its row"


def check_row_order_is_kept(architecture: type[Any], config: BaseModel) -> None:
    """Permuting the rows permutes the outputs.

    In float64 to 1e-12, and not bitwise: matrix products of few columns round the same row differently at different places of a batch.
    """
    model = build(architecture, config).double().eval()
    x = rows(architecture, 257).double()
    order = torch.randperm(257, generator=torch.Generator().manual_seed(1))
    assert_close(model(x[order]), model(x)[order], rtol=1e-12, atol=1e-12)


def check_rows_do_not_see_each_other(architecture: type[Any], config: BaseModel) -> None:
    model = build(architecture, config).eval()
    x = rows(architecture, 65)
    together = model(x)
    for batch_size in (1, 7):
        apart = torch.cat([model(part) for part in torch.split(x, batch_size)])
        assert_close(apart, together, rtol=1e-6, atol=1e-6)


def check_input_is_not_changed(architecture: type[Any], config: BaseModel) -> None:
    model = build(architecture, config)
    x = rows(architecture, 9)
    before = x.clone()
    for training in (True, False):
        model.train(training)(x)
        assert torch.equal(x, before), "forward changed its input"


def check_parts_make_the_whole(architecture: type[Any], config: BaseModel) -> None:
    """`tasks(shared(x))` is `forward(x)`, `task_output` one task of it, and `tasks_apart`, where there is one, all of it."""
    if not hasattr(architecture, "task_output"):
        return
    model: Any = build(architecture, config).eval()
    x = rows(architecture, 17)
    z_BTH, shared = model(x), model.shared(x)
    assert torch.equal(model.tasks(shared), z_BTH), "tasks(shared(x)) is not forward(x)"
    for task in range(NUM_TASKS):
        assert_close(model.task_output(shared, task), z_BTH[:, task], rtol=1e-6, atol=1e-6)
    gates = model.linear_gates(shared) if hasattr(model, "linear_gates") else None
    if gates is not None:
        experts_BEH, gate_x = shared
        assert_close(model.tasks_apart([experts_BEH] * NUM_TASKS, gates.edge_logits(gate_x)), z_BTH, rtol=1e-6, atol=1e-6)


def check_number_of_parameters(architecture: type[Any], config: BaseModel) -> None:
    if not hasattr(architecture, "num_parameters"):
        return
    for num_tasks in (1, 2, 5):
        found = sum(parameter.numel() for parameter in build(architecture, config, num_tasks=num_tasks).parameters())
        expected = architecture.num_parameters(**arguments(architecture, config, num_tasks=num_tasks))
        assert found == expected, f"T={num_tasks}: {found} parameters, {expected} by its formula"


FORWARD_CHECKS: tuple[Check, ...] = (
    check_config_round_trips,
    check_declares_what_it_is,
    check_shape_and_finiteness,
    check_several_units,
    check_every_task_reads_its_input,
    check_row_order_is_kept,
    check_rows_do_not_see_each_other,
    check_input_is_not_changed,
    check_parts_make_the_whole,
    check_number_of_parameters,
)
