"""The equations of expert architectures, one row, one expert, one gate at a time; nothing here is the code of the layer."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["expert", "gate", "level_experts", "reached", "settle"]


def expert(layer: Any, index: int, x_D: Tensor) -> Tensor:
    """relu(W .. relu(W x + b) .. + b) of one expert of a level"""
    h = x_D
    for linear in [layer.first, *layer.later.layers]:
        h = (linear.weight[index] @ h + linear.bias[index]).clamp(min=0)
    return h


def level_experts(layer: Any, counts: Sequence[int], x_of_unit: Sequence[Tensor]) -> list[list[Tensor]]:
    """The experts of each unit, which has `counts` of them."""
    starts = [sum(counts[:unit]) for unit in range(len(counts))]
    return [[expert(layer, starts[unit] + i, x_of_unit[unit]) for i in range(count)] for unit, count in enumerate(counts)]


def gate(layer: Any, num_before: int, seen: Sequence[Tensor], x_D: Tensor) -> list[Tensor]:
    """softmax(W x + b) over the experts seen, whose rows of W stand behind `num_before` others."""
    powers = [torch.exp(layer.gates.weight[num_before + i] @ x_D + layer.gates.bias[num_before + i]) for i in range(len(seen))]
    return [power / sum(powers) for power in powers]


def settle(model: Any) -> Any:
    """In float64, and biases such that no narrow expert is dead by chance and no gate is even."""
    model.double()
    with torch.no_grad():
        for layer in [*model.lower, model.layer]:
            for linear in [layer.first, *layer.later.layers]:
                linear.bias.fill_(1.0)
            if layer.gated:
                layer.gates.bias.normal_()
    return model


def reached(output: Tensor, layer: Any) -> list[bool]:
    """Which experts of a level the sum of an output's squares moves at all."""
    gradients = torch.autograd.grad(output.square().sum(), list(layer.first.parameters()), retain_graph=True, allow_unused=True)
    per_expert = [(each != 0).flatten(1).any(dim=1) for each in gradients if each is not None]
    return [bool(any(each[e] for each in per_expert)) for e in range(layer.num_experts)]
