"""The dense model: from the features of a row to one logit a task.

Shapes: B rows, T tasks, D width, H output width of the architecture.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtrec.types import FeatureBatch

__all__ = ["Ranker"]


class Ranker(nn.Module):
    """logits [B, T] = towers(architecture(encoder(features))); training and the artifact run this one module.

    Args:
        encoder: FeatureBatch -> [B, D] or [B, U, D].
        architecture: that -> z [B, T, H].
        towers: z -> logits [B, T].
        pooling: FeatureBatch -> FeatureBatch, makes fields of sequences before the encoder reads them; absent where there are none to pool.
        gate_fields: places of the fields that the architecture's gates read beside their usual input.
    """

    gate_fields: list[int]

    def __init__(
        self,
        encoder: nn.Module,
        architecture: nn.Module,
        towers: nn.Module,
        pooling: nn.Module | None = None,
        gate_fields: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.pooling, self.encoder, self.architecture, self.towers = pooling, encoder, architecture, towers
        self.gate_fields = list(gate_fields)

    def forward(self, features: FeatureBatch) -> Tensor:
        logits_BT: Tensor = self.towers(self.architecture(self.encode(features)))
        return logits_BT

    def encode(self, features: FeatureBatch) -> Tensor:
        """What the architecture reads: [B, D] or [B, U, D], and behind that the embeddings of `gate_fields`."""
        if self.pooling is not None:
            features = self.pooling(features)
        x: Tensor = self.encoder(features)
        if len(self.gate_fields) > 0:
            extra = features.fields[:, self.gate_fields].flatten(1)
            if x.dim() == 3:
                extra = extra.unsqueeze(1).expand(-1, x.shape[1], -1)
            x = torch.cat([x, extra], dim=-1)
        return x
