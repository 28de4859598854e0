"""The one layer of the expert architectures: experts, a mixture of them for each output unit, and a residual.

Shapes: B rows, D width, U input units, E experts, H expert output width, R output units (rows of the visibility).
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from mtrec.model.nn.gate import Gates, build_gates
from mtrec.model.nn.mlp import ParallelLinear, ParallelMLP
from mtrec.schema import GatePart

__all__ = ["SOFTMAX", "FusionLayer"]

SOFTMAX = GatePart(kind="softmax")


class FusionLayer(nn.Module):
    """z = (A + C) F: every output unit mixes the outputs of the experts that it sees.

        F_e = MLP_e(x of unit expert_unit[e])                          experts, [B, E, H]
        A_r = gate_r(x of unit output_unit[r])                         gates, [B, R, E]; exactly 0 for an expert that r does not see
        C                                                              residual combination, [R, E], the same for every row of the batch

    Shared-bottom, MMoE, PLE, AdaTT, cross-stitch and STEM are choices of the index vectors and masks below. An expert is native to output
    unit r if it reads r's own input, `output_unit[r]`. `forward` is `experts`, then `mix`: what output units share, then what each does alone.

    The gradient, on which tests rest: dz_r / d(parameters of e) is exactly 0 where r neither sees e nor has e in its residual, and where
    `stop_gradient[r, e]`.

    Parameters: E P(D, hidden) + those of the gates, (D + 1) G with softmax and G open edges of the visibility, + those of C.

    Args:
        width: D.
        hidden: hidden sizes of every expert; the last is H.
        num_units: U, inputs that differ; with one, or where they all coincide, x is [B, D].
        expert_unit: the input unit that each expert reads, [E], not decreasing, so that each unit costs one matrix product.
        output_unit: the input unit that is each output unit's own, [R]: its gate reads it, and the experts on it are native to it.
        visibility: [R, E] bool.
        gate: kind and options of the gates. None: A_r is the plain mean of the visible experts, and 0 where there are none.
        gate_width: width of what the gates read, where it is not x.
        residual: "none": C = 0. "native": C is learned for native experts; fixed to 1 if every unit has exactly one expert. "free": all of
            C is learned, started at the mean of the native experts.
        native_init: where a native C starts: uniformly within 1 / sqrt(how many), or at the mean.
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
        gate: GatePart | None = SOFTMAX,
        gate_width: int | None = None,
        residual: Literal["none", "native", "free"] = "none",
        native_init: Literal["uniform", "ones_over_m"] = "uniform",
        stop_gradient: Tensor | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        _check(num_units, expert_unit, output_unit, visibility)
        self.num_units, self.num_rows, self.num_experts = num_units, len(output_unit), len(expert_unit)
        self.output_width, self.dropout, self.gated = hidden[-1], dropout, gate is not None
        # Experts of unit u are those from first_expert[u] up to first_expert[u + 1].
        self.first_expert = [sum(unit < bound for unit in expert_unit) for bound in range(num_units + 1)]
        self.first = ParallelLinear(self.num_experts, width, hidden[0])
        self.later = ParallelMLP(self.num_experts, hidden[0], hidden[1:], dropout)
        self.gates = build_gates(gate, gate_width or width, output_unit, visibility) if gate is not None else nn.Identity()
        mean_RE = visibility / visibility.sum(dim=1, keepdim=True).clamp(min=1)
        self.register_buffer("mean_RE", mean_RE, persistent=False)

        native_RE = torch.tensor(output_unit).unsqueeze(1) == torch.tensor(expert_unit)
        has_one_each = sorted(expert_unit) == list(range(num_units))
        self.residual_kind = "one" if residual == "native" and has_one_each else residual
        self._make_residual(native_RE, native_init)
        self.stops = stop_gradient is not None and bool(stop_gradient.any())
        stop_RE = torch.zeros_like(visibility) if stop_gradient is None else stop_gradient.clone()
        self.register_buffer("stop_RE", stop_RE, persistent=False)

    def _make_residual(self, native_RE: Tensor, native_init: str) -> None:
        self.register_buffer("native_RE", native_RE.float(), persistent=False)
        num_native_R1 = native_RE.sum(dim=1, keepdim=True).clamp(min=1)
        learned_RE = torch.ones_like(native_RE) if self.residual_kind == "free" else native_RE & (self.residual_kind == "native")
        start_RE = native_RE / num_native_R1
        if self.residual_kind == "native" and native_init == "uniform":
            start_RE = (2 * torch.rand(native_RE.shape) - 1) / num_native_R1.sqrt()
        num_learned = int(learned_RE.sum())
        self.residual = nn.Parameter(start_RE[learned_RE]) if num_learned else None
        # Entries that are not learned point one past the last that is, where forward puts 0.
        index_RE = torch.full(native_RE.shape, num_learned)
        index_RE[learned_RE] = torch.arange(num_learned)
        self.register_buffer("residual_index_RE", index_RE, persistent=False)

    def forward(self, x: Tensor, gate_x: Tensor | None = None) -> Tensor:
        """x [B, D], the input of all units, or [B, U, D]; what the gates read, where it is not x, in either form -> z [B, R, H]."""
        return self.mix(self.experts(x), x if gate_x is None else gate_x)

    def experts(self, x: Tensor) -> Tensor:
        """x [B, D] or [B, U, D] -> F [B, E, H]"""
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

    def last_layer(self) -> nn.Module:
        """The last linear layer of all experts."""
        return self.later.layers[-1] if len(self.later.layers) else self.first

    def mix(self, experts_BEH: Tensor, gate_x: Tensor) -> Tensor:
        """F and what the gates read (anything, if there are none) -> z [B, R, H]"""
        mixture_BRE = self.gates(gate_x) if self.gated else self.mean_RE.expand(experts_BEH.shape[0], self.num_rows, self.num_experts)
        return self._combine(mixture_BRE, experts_BEH, 0, self.num_rows)

    def mix_row(self, experts_BEH: Tensor, gate_x: Tensor, row: int) -> Tensor:
        """What `mix` gives output unit `row`, [B, H], computed alone; not for the script."""
        if isinstance(self.gates, Gates):
            mixture_B1E = self.gates.row(gate_x, row)
        else:
            mixture_B1E = self.mean_RE[row].expand(experts_BEH.shape[0], 1, self.num_experts)
        return self._combine(mixture_B1E, experts_BEH, row, row + 1).squeeze(1)

    def mix_apart(self, experts: list[Tensor], logits_BG: Tensor) -> Tensor:
        """What `mix` gives, from the gates' `edge_logits`, with the gradients apart; not where any stops, nor for the script.

        Args:
            experts: F for each output unit, the same in all: to each comes the gradient of its own unit alone.
        """
        assert isinstance(self.gates, Gates) and not self.stops
        mixture_BRE = self._with_residual(self.gates.of_edges(logits_BG), 0, self.num_rows)
        z_BRH: Tensor = _WeightedApart.apply(mixture_BRE.to(experts[0].dtype), *experts)  # type: ignore[no-untyped-call]
        return z_BRH

    def _with_residual(self, mixture: Tensor, start: int, stop: int) -> Tensor:
        """A + C of the output units from start up to stop, given their A."""
        if self.residual is not None:
            return mixture + functional.pad(self.residual, [0, 1])[self.residual_index_RE[start:stop]]
        return mixture + self.native_RE[start:stop] if self.residual_kind == "one" else mixture

    def _combine(self, mixture: Tensor, experts_BEH: Tensor, start: int, stop: int) -> Tensor:
        """(A + C) F of the output units from start up to stop, given their A."""
        mixture = self._with_residual(mixture, start, stop).to(experts_BEH.dtype)
        if not self.stops:
            return _weighted(mixture, experts_BEH)
        taught = mixture.masked_fill(self.stop_RE[start:stop], 0.0)
        return _weighted(taught, experts_BEH) + _weighted(mixture - taught, experts_BEH.detach())


def _weighted(mixture: Tensor, experts_BEH: Tensor) -> Tensor:
    """A F [B, R, H]; of a single row the gradient is an outer product, which matrix products are slow at."""
    return (mixture.transpose(1, 2) * experts_BEH).sum(1, keepdim=True) if mixture.shape[1] == 1 else torch.bmm(mixture, experts_BEH)


class _WeightedApart(torch.autograd.Function):
    """A F [B, R, H], where each row of A reads a tensor of its own, all of which hold F."""

    @staticmethod
    def forward(ctx: Any, mixture_BRE: Tensor, *experts: Tensor) -> Tensor:
        ctx.save_for_backward(mixture_BRE, experts[0])
        return torch.bmm(mixture_BRE, experts[0])

    @staticmethod
    def backward(ctx: Any, z_BRH: Tensor) -> tuple[Tensor, ...]:
        mixture_BRE, experts_BEH = ctx.saved_tensors
        own = [weight_BE.unsqueeze(2) * z_BH.unsqueeze(1) for weight_BE, z_BH in zip(mixture_BRE.unbind(1), z_BRH.unbind(1), strict=True)]
        return torch.bmm(z_BRH, experts_BEH.transpose(1, 2)), *own


def _check(num_units: int, expert_unit: Sequence[int], output_unit: Sequence[int], visibility: Tensor) -> None:
    units = [*expert_unit, *output_unit]
    if not expert_unit or list(expert_unit) != sorted(expert_unit) or min(units) < 0 or max(units) >= num_units:
        raise ValueError(f"Units should be below {num_units}, those of experts not decreasing. Found {list(expert_unit)}, {list(output_unit)}.")
    if visibility.shape != (len(output_unit), len(expert_unit)) or visibility.dtype != torch.bool:
        raise ValueError(f"Visibility should be bool [outputs, experts]. Found {visibility.dtype} {list(visibility.shape)}.")
