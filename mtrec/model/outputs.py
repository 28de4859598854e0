"""From logits to what is served: probabilities and values in label units, by name.

Shapes: B rows, T tasks.
"""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from mtrec.model.calibration import Calibration, Isotonic, Platt
from mtrec.schema import Task, output_names

__all__ = ["SCORE", "Outputs", "output_names"]

SCORE = "score"  # the name of the fused score among the outputs


class Outputs(nn.Module):
    """What each task serves.

        own_t   = sigmoid(logit_t - log w_t)           binary, with w_t the `positive_weight` of the task
                = mean_t + scale_t logit_t             regression: its logit predicts the standardised label
        joint_t = own_t  prod_{k in chain(t)} own_k    where chain(t) is what t is given, what that is given, and so on
        score   = sum_o v_o output_o                   where weights v are declared

    Positives that count w times in the loss multiply the odds that the logit learns by w; the shift takes it back: with p' the sigmoid of the
    logit, own = p' / (p' + (1 - p') w). Products of probabilities are sums of log-sigmoids, so that none overflows and each lies in [0, 1].
    Where a task is calibrated, own is what its map makes of the shifted logit, in the joint outputs and the score too. Computed in float32 or wider.

    Args:
        tasks: by name, in the order of the logits; each `given` names a binary task of them, without cycles.
        mean: of the known labels of each task in training, [T]; 0 where binary.
        scale: their standard deviation, [T]; 1 where binary.
        score: the weight of each output in the fused score, by the name of the output; where it is empty there is no such score.
    """

    mean_T: Tensor
    scale_T: Tensor
    shift_T: Tensor
    is_binary_T: Tensor
    names: list[str]
    task_of_output: list[int]
    is_joint: list[bool]
    chains: list[list[int]]
    is_binary: list[bool]
    score_weights: dict[str, float]

    def __init__(self, tasks: dict[str, Task], mean: Sequence[float], scale: Sequence[float], score: Mapping[str, float] | None = None) -> None:
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
        self.register_buffer("shift_T", torch.tensor([math.log(task.positive_weight) for task in tasks.values()], dtype=torch.float32))
        self.calibration = Calibration(len(tasks))
        self.score_weights = dict(score or {})

    def calibrate(self, fitted: Mapping[int, Platt | Isotonic]) -> None:
        """Take over the maps of tasks, by position; all others are served as they are."""
        self.calibration = Calibration(len(self.is_binary), fitted)

    def forward(self, logits_BT: Tensor) -> dict[str, Tensor]:
        """-> {output name: [B]}, the score last"""
        logits_BT = self.calibration.logits(self.shifted(logits_BT))
        own_BT = self._own(logits_BT)
        served: dict[str, Tensor] = {}
        for output, name in enumerate(self.names):
            task = self.task_of_output[output]
            served[name] = self._joint(logits_BT, own_BT, task) if self.is_joint[output] else own_BT[:, task]
        if len(self.score_weights) > 0:
            score_B = torch.zeros_like(own_BT[:, 0])
            for name, weight in self.score_weights.items():
                score_B = score_B + weight * served[name]
            served["score"] = score_B
        return served

    def conditional(self, logits_BT: Tensor) -> Tensor:
        """own_t of every task, [B, T]: what is judged, in label units."""
        return self._own(self.calibration.logits(self.shifted(logits_BT)))

    def uncalibrated(self, logits_BT: Tensor) -> Tensor:
        """What `conditional` would be without calibration, [B, T]."""
        return self._plain(self.shifted(logits_BT))

    def standardise(self, labels_BT: Tensor) -> Tensor:
        """(label - mean) / scale: what the losses compare the logits with. Binary labels stay as they are."""
        return (labels_BT - self.mean_T) / self.scale_T

    def shifted(self, logits_BT: Tensor) -> Tensor:
        """The logits less log w: what calibration is fitted on and applied to. [B, T]"""
        # Contiguous, since the vectorised sigmoid and the one for strided values may differ in the last bit.
        return (_widen(logits_BT) - self.shift_T).contiguous()

    def _own(self, logits_BT: Tensor) -> Tensor:
        own_BT: Tensor = self.calibration(self._plain(logits_BT), logits_BT)
        return own_BT

    def _plain(self, logits_BT: Tensor) -> Tensor:
        return torch.where(self.is_binary_T, torch.sigmoid(logits_BT), self.mean_T + self.scale_T * logits_BT)

    def _joint(self, logits_BT: Tensor, own_BT: Tensor, task: int) -> Tensor:
        log_probability_B = torch.zeros_like(logits_BT[:, task])
        for given in self.chains[task]:
            log_probability_B = log_probability_B + self._log_own(logits_BT, own_BT, given)
        if self.is_binary[task]:
            return torch.exp(log_probability_B + self._log_own(logits_BT, own_BT, task))
        return torch.exp(log_probability_B) * own_BT[:, task]

    def _log_own(self, logits_BT: Tensor, own_BT: Tensor, task: int) -> Tensor:
        return torch.log(own_BT[:, task]) if self.calibration.is_isotonic(task) else functional.logsigmoid(logits_BT[:, task])


def _chain(tasks: dict[str, Task], given: str | None) -> list[str]:
    return [] if given is None else [given, *_chain(tasks, tasks[given].given)]


def _widen(logits: Tensor) -> Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
