"""From logits to what is served: probabilities and values in label units, by name.

Shapes: B rows, T tasks.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from mtrec.schema import Task

__all__ = ["Outputs", "output_names"]


def output_names(tasks: dict[str, Task]) -> list[str]:
    """What the tasks serve, in their order: `<task>`, or `<task>.conditional` and `<task>.joint` where the task has a `given`."""
    names: list[str] = []
    for name, task in tasks.items():
        names += [name] if task.given is None else [f"{name}.{output}" for output in task.outputs]
    return names


class Outputs(nn.Module):
    """What each task serves.

        own_t   = sigmoid(logit_t)                     binary
                = mean_t + scale_t logit_t             regression: its logit predicts the standardised label
        joint_t = own_t  prod_{k in chain(t)} own_k    where chain(t) is what t is given, what that is given, and so on

    Products of probabilities are sums of log-sigmoids, so that none overflows and each lies in [0, 1]. Computed in float32 or wider.

    Args:
        tasks: by name, in the order of the logits; each `given` names a binary task of them, without cycles.
        mean: of the known labels of each task in training, [T]; 0 where binary.
        scale: their standard deviation, [T]; 1 where binary.
    """

    mean_T: Tensor
    scale_T: Tensor
    is_binary_T: Tensor
    names: list[str]
    task_of_output: list[int]
    is_joint: list[bool]
    chains: list[list[int]]
    is_binary: list[bool]

    def __init__(self, tasks: dict[str, Task], mean: Sequence[float], scale: Sequence[float]) -> None:
        super().__init__()
        position = {name: index for index, name in enumerate(tasks)}
        self.names = output_names(tasks)
        self.task_of_output, self.is_joint = [], []
        for name, task in tasks.items():
            outputs = ["conditional"] if task.given is None else task.outputs
            self.task_of_output += [position[name]] * len(outputs)
            self.is_joint += [output == "joint" for output in outputs]
        self.chains = [[position[name] for name in _chain(tasks, task.given)] for task in tasks.values()]
        self.is_binary = [task.kind == "binary" for task in tasks.values()]
        self.register_buffer("is_binary_T", torch.tensor(self.is_binary), persistent=False)
        self.register_buffer("mean_T", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("scale_T", torch.tensor(scale, dtype=torch.float32))

    def forward(self, logits_BT: Tensor) -> dict[str, Tensor]:
        """-> {output name: [B]}"""
        logits_BT = _widen(logits_BT)
        own_BT = self.conditional(logits_BT)
        served: dict[str, Tensor] = {}
        for output, name in enumerate(self.names):
            task = self.task_of_output[output]
            served[name] = self._joint(logits_BT, own_BT, task) if self.is_joint[output] else own_BT[:, task]
        return served

    def conditional(self, logits_BT: Tensor) -> Tensor:
        """own_t of every task, [B, T]: what is judged, in label units."""
        logits_BT = _widen(logits_BT)
        return torch.where(self.is_binary_T, torch.sigmoid(logits_BT), self.mean_T + self.scale_T * logits_BT)

    def standardise(self, labels_BT: Tensor) -> Tensor:
        """(label - mean) / scale: what the losses compare the logits with. Binary labels stay as they are."""
        return (labels_BT - self.mean_T) / self.scale_T

    def _joint(self, logits_BT: Tensor, own_BT: Tensor, task: int) -> Tensor:
        log_probability_B = torch.zeros_like(logits_BT[:, task])
        for given in self.chains[task]:
            log_probability_B = log_probability_B + functional.logsigmoid(logits_BT[:, given])
        if self.is_binary[task]:
            return torch.exp(log_probability_B + functional.logsigmoid(logits_BT[:, task]))
        return torch.exp(log_probability_B) * own_BT[:, task]


def _chain(tasks: dict[str, Task], given: str | None) -> list[str]:
    return [] if given is None else [given, *_chain(tasks, tasks[given].given)]


def _widen(logits: Tensor) -> Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
