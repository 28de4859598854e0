"""Batch normalisation of many channels, of which a part can be used alone, that gives the same model on every rank.

Shapes: B rows, C channels, c channels of a part.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from mtrec import ranks

__all__ = ["BatchNorm"]


class BatchNorm(nn.Module):
    """y = (x - mean) / sqrt(variance + 1e-5) * weight + bias, channel by channel.

    In training mean and variance (divided by B) are those of the batch, and the running ones follow them, the variance divided by B - 1:
    running = 0.9 running + 0.1 batch. In evaluation the running ones stand in. Rows that weigh nothing count like any others.

    A batch of one row has no variance: it is normalised by the running statistics, as in evaluation. The last batch of an epoch may be that
    small, and a run should not fail there.

    Of several ranks, each normalises its rows by their own statistics, while the running ones follow those of all ranks' rows together, and so
    stay equal on all ranks. All ranks must call it equally often.

    The running statistics are buffers: they are kept in checkpoints, and averaged where weights are: those of the last ten steps do not fit
    weights that are averages over more.

    Parameters: 2 C. Source: Ioffe and Szegedy, Batch Normalization, ICML 2015.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, num_channels: int) -> None:
        super().__init__()
        self.epsilon, self.momentum = 1e-5, 0.1
        self.weight = nn.Parameter(torch.ones(num_channels))
        self.bias = nn.Parameter(torch.zeros(num_channels))
        self.register_buffer("mean", torch.zeros(num_channels))
        self.register_buffer("variance", torch.ones(num_channels))

    def forward(self, x: Tensor, start: int, stop: int) -> Tensor:
        """The channels from `start` up to `stop`, [B, stop - start] -> the same; never below float32 where the weights are."""
        x = x.to(self.weight.dtype)
        if self.training:
            return self._train(x, start, stop)
        return self._normalise(x, self.mean[start:stop], self.variance[start:stop], start, stop)

    def _normalise(self, x: Tensor, mean_c: Tensor, variance_c: Tensor, start: int, stop: int) -> Tensor:
        return functional.batch_norm(x, mean_c, variance_c, self.weight[start:stop], self.bias[start:stop], False, 0.0, self.epsilon)

    @torch.jit.unused
    def _train(self, x: Tensor, start: int, stop: int) -> Tensor:
        running_mean_c, running_variance_c = self.mean[start:stop], self.variance[start:stop]
        if len(x) > 1:
            # With a momentum of 1 these become the batch's own.
            mean_c, variance_c = torch.zeros_like(running_mean_c), torch.zeros_like(running_variance_c)
            y = functional.batch_norm(x, mean_c, variance_c, self.weight[start:stop], self.bias[start:stop], True, 1.0, self.epsilon)
        else:
            y = self._normalise(x, running_mean_c.clone(), running_variance_c.clone(), start, stop)
            mean_c, variance_c = x.detach().sum(dim=0), torch.zeros_like(running_variance_c)
        num_rows, mean_c, variance_c = _of_all_ranks(len(x), mean_c, variance_c)
        if num_rows > 1:
            running_mean_c.lerp_(mean_c, self.momentum)
            running_variance_c.lerp_(variance_c, self.momentum)
        return y


def _of_all_ranks(num_rows: int, mean_c: Tensor, variance_c: Tensor) -> tuple[int, Tensor, Tensor]:
    """From the rows of this rank to the rows of all: their number, mean, and variance divided by one less than their number."""
    if ranks.world_size() == 1:
        return num_rows, mean_c, variance_c
    mean, variance = mean_c.double(), variance_c.double()
    own = torch.cat([mean.new_tensor([num_rows]), num_rows * mean, max(num_rows - 1, 0) * variance + num_rows * mean * mean])
    total, sums, squares = ranks.all_sum(own).split([1, len(mean), len(mean)])
    mean = sums / total
    variance = (squares - total * mean * mean).clamp(min=0) / (total - 1).clamp(min=1)
    return int(total), mean.to(mean_c.dtype), variance.to(mean_c.dtype)
