"""The gradients of the tasks where they part: seen in the one backward of a step, combined by an aggregator, measured for weightings.

Shapes: B rows, T tasks, N elements of the cut.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mtrec import ranks
from mtrec.model.ranker import Ranker
from mtrec.objective.cut import Combine, Gradients, LinearRead, dense, fan_out, fan_out_read
from mtrec.objective.gramian import GramianAggregator, gramian, square_lengths, weighted_sum
from mtrec.types import FeatureBatch

__all__ = ["Measure", "TaskGradients", "logits_apart"]

Measure = Callable[[Sequence[Tensor], Gradients], None]  # Of the shared tensors, and the tasks' gradients there.


def logits_apart(ranker: Ranker, features: FeatureBatch, num_tasks: int, combine: Combine, measure: Measure | None = None) -> Tensor:
    """The logits of a ranker, [B, T], each task from an alias of its own of what the tasks share.

    Args:
        measure: called in the backward, after `combine`.
    """
    architecture: Any = ranker.architecture
    shared = architecture.shared(ranker.encode(features))

    def combine_and_measure(gradients: Gradients) -> Sequence[Tensor]:
        combined = combine(gradients)
        if measure is not None:
            measure(shared, gradients)
        return combined

    gates = architecture.linear_gates(shared) if hasattr(architecture, "linear_gates") else None
    if gates is None:
        own = fan_out(shared, num_tasks, combine_and_measure)
        z_BTH = torch.stack([architecture.task_output(own[task], task) for task in range(num_tasks)], dim=1)
    else:
        read = LinearRead(gates.edge_logits(shared[-1].detach()), gates.weight, gates.first_edge)
        own, edge_logits_BG = fan_out_read(shared, num_tasks, combine_and_measure, read)
        z_BTH = architecture.tasks_apart([experts_BEH for (experts_BEH,) in own], edge_logits_BG)
    logits_BT: Tensor = ranker.towers(z_BTH)
    return logits_BT


class TaskGradients(nn.Module):
    """What combines the tasks' gradients at the cut, and remembers how long they were and how they lay to each other.

    On several ranks lengths and angles are those of the whole batch: each rank's rows are other elements of one cut.

    Args:
        aggregator: [T, N] -> [N]; None for the plain sum.
        layer: the last layer before the cut, if lengths are to be those of the gradients of its parameters.
        cosines: whether they are wanted where no aggregator needs them.

    Attributes:
        norm_T: length of the gradient of each task's loss, without weights, in the last step, at the cut or with respect to the parameters of
            `layer`; NaN where the task was absent.
        cosine_TT: cosines between the tasks' gradients at the cut in the last step; NaN where one of two was absent, or they are not wanted.
    """

    norm_T: Tensor
    cosine_TT: Tensor

    def __init__(self, num_tasks: int, aggregator: nn.Module | None = None, layer: nn.Module | None = None, cosines: bool = True) -> None:
        super().__init__()
        self.aggregator, self.cosines = aggregator, cosines or aggregator is not None
        # In a list: they are no parameters of the objective.
        self._parameters_of_layer = list(layer.parameters()) if layer is not None else []
        self.measure: Measure | None = self._measure_at_layer if layer is not None else None
        self.register_buffer("norm_T", torch.full((num_tasks,), torch.nan))
        self.register_buffer("cosine_TT", torch.full((num_tasks, num_tasks), torch.nan))

    @torch.no_grad()
    def combine(self, gradients: Gradients) -> list[Tensor]:
        """In the backward: from the gradients of the tasks at the cut to the one that goes on."""
        num_tasks = len(self.norm_T)
        if not self.cosines:
            self._keep_norms(ranks.all_sum(square_lengths(gradients)).sqrt())
            return weighted_sum([1.0] * num_tasks, gradients)
        gramian_TT = ranks.all_sum(gramian(gradients))
        self._keep_norms(gramian_TT.diagonal().sqrt())
        self.cosine_TT.copy_(gramian_TT / (self.norm_T.unsqueeze(0) * self.norm_T.unsqueeze(1)))
        return self._combined(gradients, gramian_TT)

    def _combined(self, gradients: Gradients, gramian_TT: Tensor) -> list[Tensor]:
        if self.aggregator is None or not bool(gramian_TT.isfinite().all()):
            # No aggregator has an answer to what is not finite; what guards the step names the batch.
            plain = 1.0 if self.aggregator is None else torch.nan
            return weighted_sum([plain] * len(gramian_TT), gradients)
        if isinstance(self.aggregator, GramianAggregator):
            return weighted_sum(self.aggregator.weights(gramian_TT).tolist(), gradients)
        elements = [[dense(part) for part in own] for own in gradients]
        rows_TN = torch.stack([torch.cat([part.reshape(-1).float() for part in own]) for own in elements])
        combined_N: Tensor = self.aggregator(rows_TN, gramian_TT)
        like = elements[0]
        return [part.view_as(own).to(own.dtype) for part, own in zip(combined_N.split([own.numel() for own in like]), like, strict=True)]

    def _measure_at_layer(self, shared: Sequence[Tensor], gradients: Gradients) -> None:
        """Go on with the gradient of each task to the parameters of the layer, and no further: the tables are not reached."""
        found = []
        for own in gradients:
            # What is read by gates alone does not come from the layer: its output is what they weigh.
            pairs = [(part, gradient) for part, gradient in zip(shared, own, strict=True) if part.requires_grad and isinstance(gradient, Tensor)]
            at_layer = torch.autograd.grad([part for part, _ in pairs], self._parameters_of_layer, [gradient for _, gradient in pairs], True)
            found.append(torch.cat([part.flatten() for part in at_layer]))
        self._keep_norms(ranks.all_sum(torch.stack(found)).norm(dim=1))

    def _keep_norms(self, norm_T: Tensor) -> None:
        self.norm_T.copy_(torch.where(norm_T > 0, norm_T, torch.nan))

    def unweigh(self, weights_T: Tensor) -> None:
        """Take out of the lengths the weights that the losses had in this step; of weights of rows, their mean."""
        self.norm_T /= weights_T
