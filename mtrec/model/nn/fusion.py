"""The one layer of the expert architectures: experts, a mixture of them for each output unit, and a residual.

Shapes: B rows, D width, U input units, E experts, H expert output width, R output units (rows of the visibility).
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from mtrec.model.nn.gate import SoftmaxGates
from mtrec.model.nn.mlp import ParallelLinear, ParallelMLP

__all__ = ["FusionLayer"]


class FusionLayer(nn.Module):
    """z = (A + C) F: every output unit mixes the outputs of the experts that it sees.

        F_e = MLP_e(x of unit expert_unit[e])                          experts, [B, E, H]
        A_r = softmax(W_r x of unit output_unit[r] + b_r ; visible)    gates, [B, R, E]; exactly 0 for an expert that r does not see
        C                                                              residual combination, [R, E], the same for every row of the batch

    Shared-bottom, MMoE, PLE, AdaTT, cross-stitch and STEM are choices of the index vectors and masks below. An expert is native to output
    unit r if it reads r's own input, `output_unit[r]`.

    The gradient, on which tests rest: dz_r / d(parameters of e) is exactly 0 where r neither sees e nor has e in its residual, and where
    `stop_gradient[r, e]`.

    Parameters: E P(D, hidden) + (D + 1) G + those of C, with G open edges of the visibility; with gate_hidden g the second term is
    R P(D, g) + (g[-1] + 1) G.

    Args:
        width: D.
        hidden: hidden sizes of every expert; the last is H.
        num_units: U, inputs that differ; with one, or where they all coincide, x is [B, D].
        expert_unit: the input unit that each expert reads, [E], not decreasing, so that each unit costs one matrix product.
        output_unit: the input unit that is each output unit's own, [R]: its gate reads it, and the experts on it are native to it.
        visibility: [R, E] bool.
        gated: False for no gates: A_r is the plain mean of the visible experts, and 0 where there are none.
        gate_hidden: hidden sizes of each gate.
        residual: "none": C = 0. "native": C is learned for native experts, started uniformly within 1 / sqrt(how many); fixed to 1 if
            every unit has exactly one expert. "free": all of C is learned, started at the mean of the native experts.
        stop_gradient: [R, E] bool, True where r takes e's output as a constant; absent: nowhere.
        dropout: after each layer of the experts, in training only.
    """

    mean_RE: Tensor
    native_RE: Tensor
    residual_index_RE: Tensor
    stop_RE: Tensor

    def __init__(
        self,
        width: int,
        hidden: Sequence[int],
        *,
        num_units: int,
        expert_unit: Sequence[int],
        output_unit: Sequence[int],
        visibility: Tensor,
        gated: bool = True,
        gate_hidden: Sequence[int] = (),
        residual: Literal["none", "native", "free"] = "none",
        stop_gradient: Tensor | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        _check(num_units, expert_unit, output_unit, visibility)
        self.num_units, self.num_rows, self.num_experts = num_units, len(output_unit), len(expert_unit)
        self.output_width, self.dropout, self.gated = hidden[-1], dropout, gated
        # Experts of unit u are those from first_expert[u] up to first_expert[u + 1].
        self.first_expert = [sum(unit < bound for unit in expert_unit) for bound in range(num_units + 1)]
        self.first = ParallelLinear(self.num_experts, width, hidden[0])
        self.later = ParallelMLP(self.num_experts, hidden[0], hidden[1:], dropout)
        self.gates = SoftmaxGates(width, output_unit, visibility, gate_hidden) if gated else nn.Identity()
        mean_RE = visibility / visibility.sum(dim=1, keepdim=True).clamp(min=1)
        self.register_buffer("mean_RE", mean_RE, persistent=False)

        native_RE = torch.tensor(output_unit).unsqueeze(1) == torch.tensor(expert_unit)
        has_one_each = sorted(expert_unit) == list(range(num_units))
        self.residual_kind = "one" if residual == "native" and has_one_each else residual
        self._make_residual(native_RE)
        self.stops = stop_gradient is not None and bool(stop_gradient.any())
        stop_RE = torch.zeros_like(visibility) if stop_gradient is None else stop_gradient.clone()
        self.register_buffer("stop_RE", stop_RE, persistent=False)

    def _make_residual(self, native_RE: Tensor) -> None:
        self.register_buffer("native_RE", native_RE.float(), persistent=False)
        num_native_R1 = native_RE.sum(dim=1, keepdim=True).clamp(min=1)
        learned_RE = torch.ones_like(native_RE) if self.residual_kind == "free" else native_RE & (self.residual_kind == "native")
        start_RE = native_RE / num_native_R1
        if self.residual_kind == "native":
            start_RE = (2 * torch.rand(native_RE.shape) - 1) / num_native_R1.sqrt()
        num_learned = int(learned_RE.sum())
        self.residual = nn.Parameter(start_RE[learned_RE]) if num_learned else None
        # Entries that are not learned point one past the last that is, where forward puts 0.
        index_RE = torch.full(native_RE.shape, num_learned)
        index_RE[learned_RE] = torch.arange(num_learned)
        self.register_buffer("residual_index_RE", index_RE, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, D], the input of all units, or [B, U, D] -> z [B, R, H]."""
        experts_BEH = self._experts(x)
        mixture_BRE = self._mixture(x).to(experts_BEH.dtype)
        if not self.stops:
            return torch.bmm(mixture_BRE, experts_BEH)
        open_BRE = mixture_BRE.masked_fill(self.stop_RE, 0.0)
        return torch.bmm(open_BRE, experts_BEH) + torch.bmm(mixture_BRE - open_BRE, experts_BEH.detach())

    def _experts(self, x: Tensor) -> Tensor:
        """[B, E, H]"""
        if x.dim() == 2:
            first_EBh = self.first(x)
        else:
            units: list[Tensor] = []
            for unit in range(self.num_units):
                start, stop = self.first_expert[unit], self.first_expert[unit + 1]
                if stop > start:
                    units.append(self.first.shared(x[:, unit], start, stop))
            first_EBh = torch.cat(units)
        first_EBh = functional.dropout(torch.relu(first_EBh), self.dropout, self.training)
        experts_EBH: Tensor = self.later(first_EBh)
        return experts_EBH.transpose(0, 1)

    def _mixture(self, x: Tensor) -> Tensor:
        """A + C, [B, R, E]"""
        mixture_BRE = self.gates(x) if self.gated else self.mean_RE.expand(x.shape[0], self.num_rows, self.num_experts)
        if self.residual is not None:
            residual_RE = functional.pad(self.residual, [0, 1])[self.residual_index_RE]
            mixture_BRE = mixture_BRE + residual_RE
        elif self.residual_kind == "one":
            mixture_BRE = mixture_BRE + self.native_RE
        return mixture_BRE


def _check(num_units: int, expert_unit: Sequence[int], output_unit: Sequence[int], visibility: Tensor) -> None:
    units = [*expert_unit, *output_unit]
    if not expert_unit or list(expert_unit) != sorted(expert_unit) or min(units) < 0 or max(units) >= num_units:
        raise ValueError(f"Units should be below {num_units}, those of experts not decreasing. Found {list(expert_unit)}, {list(output_unit)}.")
    if visibility.shape != (len(output_unit), len(expert_unit)) or visibility.dtype != torch.bool:
        raise ValueError(f"Visibility should be bool [outputs, experts]. Found {visibility.dtype} {list(visibility.shape)}.")
