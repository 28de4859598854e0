"""The dense model: from the features of a row to one logit a task.

Shapes: B rows, T tasks, D width, H output width of the architecture.
"""

from torch import Tensor, nn

from mtrec.types import FeatureBatch

__all__ = ["Ranker"]


class Ranker(nn.Module):
    """logits [B, T] = towers(architecture(encoder(features))); training and the artifact run this one module.

    Args:
        encoder: FeatureBatch -> [B, D] or [B, U, D].
        architecture: that -> z [B, T, H].
        towers: z -> logits [B, T].
    """

    def __init__(self, encoder: nn.Module, architecture: nn.Module, towers: nn.Module) -> None:
        super().__init__()
        self.encoder, self.architecture, self.towers = encoder, architecture, towers

    def forward(self, features: FeatureBatch) -> Tensor:
        logits_BT: Tensor = self.towers(self.architecture(self.encoder(features)))
        return logits_BT
