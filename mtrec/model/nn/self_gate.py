"""Gates over common and own experts, with a second, residual way to the own ones.

Shapes: B rows, R units, r of them, g width of the gates' input, d of the self gates' input, N common experts, V those that each unit sees,
n experts of its own, H output width.
"""

import torch
from torch import Tensor, nn

from mtrec.model.nn.mlp import ParallelLinear

__all__ = ["SelfGatedMixture"]


class SelfGatedMixture(nn.Module):
    """z_r = softmax(G_r g_r + a_r) . [visible common experts; own experts] + self_r(x_r) . own experts

    self_r is softmax(S_r x_r + b_r) over the own experts; of a single one it is sigmoid, as its softmax would always be 1.

    Parameters: R (g + 1) (V + n) + R (d + 1) n.

    Args:
        gate_width: g.
        self_width: d.
        visible: [R, N] bool, which of the common experts each unit sees; every unit the same number V.
        num_own: n.
    """

    place_RN: Tensor

    def __init__(self, gate_width: int, self_width: int, visible: Tensor, num_own: int) -> None:
        super().__init__()
        self.num_units, self.num_own = len(visible), num_own
        self.num_visible = int(visible[0].sum())
        self.gates = ParallelLinear(self.num_units, gate_width, self.num_visible + num_own)
        self.self_gates = ParallelLinear(self.num_units, self_width, num_own)
        self.has_one_own = num_own == 1
        # Where in a unit's own list of visible experts a common expert stands; one past its end for those that it does not see.
        place_RN = (visible.cumsum(dim=1) - 1).masked_fill(~visible, self.num_visible)
        self.register_buffer("place_RN", place_RN, persistent=False)

    def forward(self, g_RBg: Tensor, x_RBd: Tensor, common_BNH: Tensor, own_BRnH: Tensor) -> Tensor:
        """-> z [B, R, H]"""
        return self.part(g_RBg, x_RBd, common_BNH, own_BRnH, 0, self.num_units)

    def part(self, g_rBg: Tensor, x_rBd: Tensor, common_BNH: Tensor, own_BrnH: Tensor, start: int, stop: int) -> Tensor:
        """The units from `start` up to `stop`, on their inputs and own experts -> [B, r, H]"""
        share_rBv = torch.softmax(_linear(g_rBg, self.gates.weight[start:stop], self.gates.bias[start:stop]), dim=2)
        visible_rBV, own_rBn = share_rBv.split([self.num_visible, self.num_own], dim=2)
        logits_rBn = _linear(x_rBd, self.self_gates.weight[start:stop], self.self_gates.bias[start:stop])
        own_rBn = own_rBn + (torch.sigmoid(logits_rBn) if self.has_one_own else torch.softmax(logits_rBn, dim=2))
        padded_rBV = nn.functional.pad(visible_rBV, [0, 1])
        place_rBN = self.place_RN[start:stop].unsqueeze(1).expand(-1, padded_rBV.shape[1], -1)
        common_rBN = padded_rBV.gather(2, place_rBN)
        common_BrH = torch.bmm(common_rBN.transpose(0, 1), common_BNH)
        return common_BrH + torch.matmul(own_rBn.transpose(0, 1).unsqueeze(2), own_BrnH).squeeze(2)


def _linear(x_rBI: Tensor, weight_rOI: Tensor, bias_rO: Tensor) -> Tensor:
    """Each unit's linear map of its own input, [r, B, O]; what comes of it is never below float32."""
    return torch.baddbmm(bias_rO.unsqueeze(1), x_rBI, weight_rOI.transpose(1, 2)).to(weight_rOI.dtype)
