"""A model that learns no more: what critics see of a row, and what the model would say of it.

Shapes: B rows, D flat width, T tasks.
"""

from typing import Any

import torch
from torch import Tensor

from mtrec.config import Config
from mtrec.data.bundle import Prepared
from mtrec.sections import EmbeddingOptimizer
from mtrec.training.assemble import RankingModel, build_model
from mtrec.training.checkpoint import Snapshot
from mtrec.training.restore import load_judged_weights
from mtrec.types import Batch, FeatureBatch

__all__ = ["FrozenModel"]


class FrozenModel:
    """A second model of a configuration, with tables of its own; building it draws no random numbers from those of training.

    Attributes:
        width: D, of the states.
    """

    def __init__(self, config: Config, prepared: Prepared) -> None:
        # An optimizer that keeps no state beside the tables; it never steps.
        optimizers = config.training.optimizers.model_copy(update={"embeddings": EmbeddingOptimizer(kind="sgd")})
        plain = config.model_copy(update={"training": config.training.model_copy(update={"optimizers": optimizers})})
        with torch.random.fork_rng(devices=[]):
            self._model: RankingModel = build_model(plain, prepared).eval()
        pooled: Any = self._model.embeddings if self._model.ranker.pooling is None else self._model.ranker.pooling
        self.width: int = pooled.shape.flat

    def load(self, snapshot: Snapshot) -> None:
        """Take the weights of a snapshot that are judged, averaged where they are averaged."""
        load_judged_weights(self._model, snapshot)

    @torch.no_grad()
    def state(self, batch: Batch) -> Tensor:
        """The flat features of the rows, sequences pooled unless the encoder reads them itself. [B, D]"""
        return self._pooled(self._features(batch)).flat

    @torch.no_grad()
    def look(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The states [B, D], and what the model predicts, each task by itself [B, T]."""
        features = self._features(batch)
        return self._pooled(features).flat, self._model.outputs.conditional(self._model.ranker(features).float())

    def _features(self, batch: Batch) -> FeatureBatch:
        features: FeatureBatch = self._model.embeddings(self._model.vectors(batch))
        return features

    def _pooled(self, features: FeatureBatch) -> FeatureBatch:
        pooling = self._model.ranker.pooling
        return features if pooling is None else pooling(features)
