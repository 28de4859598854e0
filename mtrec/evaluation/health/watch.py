"""Looking on while a model runs: hooks on the modules of its levels, taken off again afterwards.

Shapes: B rows, R output units, E experts, H output width, N common experts, n own ones of a unit.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mtrec.evaluation.health.levels import Level, View
from mtrec.model.nn.fusion import FusionLayer
from mtrec.model.nn.gate import Gates
from mtrec.model.nn.normalised_experts import NormalisedExperts
from mtrec.model.nn.self_gate import SelfGatedMixture

__all__ = ["watched"]

Seen = dict[str, Tensor]


@contextmanager
def watched(levels: list[Level]) -> Iterator[Callable[[], list[View]]]:
    """The block in which a model is watched; what is yielded tells what each level did in the model's last run."""
    seen: list[Seen] = [{} for _ in levels]
    with ExitStack() as stack:
        for level, of_level in zip(levels, seen, strict=True):
            for part, module in level.modules.items():
                if isinstance(module, SelfGatedMixture):
                    stack.enter_context(_weights_of(module, of_level, part))
                elif not isinstance(module, FusionLayer):
                    watch = module.norm if isinstance(module, NormalisedExperts) else module
                    stack.callback(watch.register_forward_hook(_keep(of_level, part)).remove)
        yield lambda: [_view(level, of_level) for level, of_level in zip(levels, seen, strict=True)]


def _keep(seen: Seen, part: str) -> Callable[[nn.Module, Any, Tensor], None]:
    def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
        seen[part] = output.detach()

    return hook


@contextmanager
def _weights_of(mixture: SelfGatedMixture, seen: Seen, part: str) -> Iterator[None]:
    """What each unit takes from each expert, common ones first: a mixture is linear in the experts, so unit vectors in their place show it."""
    original = mixture.part

    def watching(g_rBg: Tensor, x_rBd: Tensor, common_BNH: Tensor, own_BrnH: Tensor, start: int, stop: int) -> Tensor:
        (num_rows, num_common), (_, num_units, num_own) = common_BNH.shape[:2], own_BrnH.shape[:3]
        one_EE = torch.eye(num_common + num_units * num_own).to(common_BNH)
        common_BNE = one_EE[:num_common].expand(num_rows, -1, -1)
        own_BrnE = one_EE[num_common:].unflatten(0, [num_units, num_own]).expand(num_rows, -1, -1, -1)
        seen[part] = original(g_rBg, x_rBd, common_BNE, own_BrnE, start, stop).detach()
        return original(g_rBg, x_rBd, common_BNH, own_BrnH, start, stop)

    mixture.part = watching  # type: ignore[method-assign]
    try:
        yield
    finally:
        del mixture.part


def _view(level: Level, seen: Seen) -> View:
    modules = level.modules
    if "normal" not in modules:
        experts_BEH, gates, layer = seen["experts"].transpose(0, 1), modules.get("gates"), modules.get("layer")
        if not isinstance(gates, Gates) or not isinstance(layer, FusionLayer):
            return View(experts_BEH)
        return View(experts_BEH, _own_rows(seen["gates"], level), gates.edge_of_RE < len(gates.bias), _residual(layer))
    experts_BEH = torch.cat([_swish(seen[part], modules[part]) for part in ("normal", "own") if part in modules], dim=1)
    weights_BRE = seen["task"] if "task" in modules else _of_meta(seen, modules["shared"])
    # For a single own expert the residual gate is a sigmoid, so that the sum differs from row to row.
    return View(experts_BEH, weights_BRE / weights_BRE.sum(dim=2, keepdim=True), (weights_BRE > 0).any(dim=0))


def _of_meta(seen: Seen, shared_mixture: nn.Module) -> Tensor:
    """The mixtures of the categories and the shared one side by side. The former have the shared experts in front, the level has them last."""
    assert isinstance(shared_mixture, SelfGatedMixture)
    category_BCE, num_shared = seen["category"], shared_mixture.num_own
    category_BCE = torch.cat([category_BCE[:, :, num_shared:], category_BCE[:, :, :num_shared]], dim=2)
    return torch.cat([category_BCE, seen["shared"]], dim=1)


def _own_rows(weights_BRE: Tensor, level: Level) -> Tensor:
    """Of every task's gate on every task's input, the gate on its own input."""
    if level.num_inputs == 1 or level.task[0] is None:
        return weights_BRE
    weights_BTRE = weights_BRE.unflatten(0, [-1, level.num_inputs])
    own_BTE: Tensor = weights_BTRE.diagonal(dim1=1, dim2=2).transpose(1, 2)
    return own_BTE


def _residual(layer: FusionLayer) -> Tensor | None:
    if layer.residual is not None:
        return functional.pad(layer.residual.detach(), [0, 1])[layer.residual_index_RE]
    return layer.native_RE if layer.residual_kind == "one" else None


def _swish(normal_BC: Tensor, experts: nn.Module) -> Tensor:
    assert isinstance(experts, NormalisedExperts)
    experts_BEH: Tensor = functional.silu(normal_BC).unflatten(1, [-1, experts.output_width])
    return experts_BEH
