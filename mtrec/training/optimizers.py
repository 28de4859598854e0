"""The dense optimizer with its state by parameter name, and the schedule of both learning rates."""

import math

import torch
from torch import Tensor, nn

from mtrec import ranks
from mtrec.errors import BundleError
from mtrec.sections import DenseOptimizer, Schedule

__all__ = ["DenseStep", "schedule_factor"]

_CLASSES = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam, "adagrad": torch.optim.Adagrad}


def schedule_factor(schedule: Schedule, step: int, num_steps: int) -> float:
    """The factor on the learning rate of step `step` (from 0) of `num_steps`.

    >>> [schedule_factor(Schedule(warmup_steps=2, decay="linear"), step, 6) for step in range(7)]
    [0.5, 1.0, 1.0, 0.75, 0.5, 0.25, 0.0]
    """
    if step < schedule.warmup_steps:
        return (step + 1) / schedule.warmup_steps
    if schedule.decay == "none":
        return 1.0
    share = min(1.0, (step - schedule.warmup_steps) / max(1, num_steps - schedule.warmup_steps))
    left = 1.0 - share if schedule.decay == "linear" else 0.5 * (1.0 + math.cos(math.pi * share))
    return schedule.floor + (1.0 - schedule.floor) * left


class DenseStep:
    """The optimizer of the dense parameters.

    Its state is kept by parameter name, so that a model whose parameters stand in another order cannot take another one's state.
    """

    def __init__(self, module: nn.Module, config: DenseOptimizer) -> None:
        self.config = config
        self.parameters = {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
        options = {"lr": config.lr, "weight_decay": config.weight_decay, "fused": True}
        self.optimizer: torch.optim.Optimizer = _CLASSES[config.kind](list(self.parameters.values()), **options)

    def set_factor(self, factor: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.lr * factor

    def add_up_ranks(self) -> None:
        """Make each gradient the sum of the ranks' gradients; a parameter without one on every rank stays without."""
        if ranks.world_size() == 1:
            return
        for parameter in self.parameters.values():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        flat = ranks.all_sum(torch.cat([parameter.grad.reshape(-1) for parameter in self.parameters.values() if parameter.grad is not None]))
        for parameter, part in zip(self.parameters.values(), flat.split([p.numel() for p in self.parameters.values()]), strict=True):
            parameter.grad = part.view_as(parameter)

    def step(self) -> None:
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def state(self) -> dict[str, Tensor]:
        """All state tensors, named `<parameter>/<state>`."""
        by_index = self.optimizer.state_dict()["state"]
        names = list(self.parameters)
        return {f"{names[i]}/{key}": value for i, state in by_index.items() for key, value in state.items()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take over what `state` gave.

        Raises:
            BundleError: if the state belongs to other parameters, or to another optimizer.
        """
        index = {name: i for i, name in enumerate(self.parameters)}
        kinds = {"adagrad": {"step", "sum"}}.get(self.config.kind, {"step", "exp_avg", "exp_avg_sq"})
        by_index: dict[int, dict[str, Tensor]] = {}
        faults = []
        for key, value in state.items():
            name, _, kind = key.rpartition("/")
            if name not in index or kind not in kinds or (kind != "step" and value.shape != self.parameters[name].shape):
                faults.append(f"{key} {list(value.shape)}")
                continue
            by_index.setdefault(index[name], {})[kind] = value.clone()
        faults += [f"{list(index)[i]} has {sorted(found)} only" for i, found in by_index.items() if found.keys() != kinds]
        if faults:
            raise BundleError("The optimizer's state belongs to another model or optimizer", found="; ".join(faults[:8]), expected=", ".join(index))
        self.optimizer.load_state_dict({"state": by_index, "param_groups": self.optimizer.state_dict()["param_groups"]})
