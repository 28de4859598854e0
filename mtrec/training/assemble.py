"""From a configuration and a prepared log to the built objects: model, losses, weighting."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from mtrec import ranks
from mtrec.config import Config, resolve_part
from mtrec.data.bundle import Prepared
from mtrec.embeddings.tables import Embeddings
from mtrec.errors import ConfigError
from mtrec.model.outputs import Outputs
from mtrec.model.ranker import Ranker
from mtrec.model.towers import Towers
from mtrec.objective.task_losses import TaskLosses
from mtrec.schema import LossPart, Task
from mtrec.types import Batch

__all__ = ["RankingModel", "build_losses", "build_model", "build_weighting"]


class RankingModel(nn.Module):
    """Embeddings, then the dense ranker: a batch to logits [B, T]; `outputs` turns logits into what is served.

    Args:
        precision: bf16 runs the ranker under autocast in training; embeddings, losses and outputs, and all of evaluation, stay in float32.

    Attributes:
        gradient_hook: called with each gradient of the embedded batch before it reaches the tables.
    """

    gradient_hook: Callable[[Tensor], None] | None = None

    def __init__(self, embeddings: Embeddings, ranker: Ranker, outputs: Outputs, precision: str = "fp32") -> None:
        super().__init__()
        self.embeddings, self.ranker, self.outputs, self.precision = embeddings, ranker, outputs, precision

    def forward(self, batch: Batch) -> Tensor:
        features = self.embeddings(batch)
        if self.gradient_hook is not None:
            for part in features:
                if part.requires_grad:
                    part.register_hook(self.gradient_hook)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.training and self.precision == "bf16"):
            logits: Tensor = self.ranker(features)
        return logits.float()


def build_model(config: Config, prepared: Prepared) -> RankingModel:
    """Build with weights that depend on the seed alone; from here on the process uses as many threads as the configuration says.

    Raises:
        ConfigError: if the architecture needs what the encoder does not give.
    """
    torch.set_num_threads(config.training.threads or torch.get_num_threads())
    width = config.model.embedding_dim
    embeddings = Embeddings(prepared.fields, prepared.num_numbers, width, config.training.optimizers.embeddings, config.seed)
    # After the tables, whose making draws numbers that depend on which of them lie on this rank.
    torch.manual_seed(config.seed)
    encoder_class, encoder_config = resolve_part(config.model.encoder)
    encoder = encoder_class(embeddings.shape, encoder_config)
    architecture_class, architecture_config = resolve_part(config.model.architecture)
    architecture = architecture_class(encoder.output_width, encoder.num_units, len(config.tasks), architecture_config)
    towers = Towers(architecture.output_width, len(config.tasks), config.model.towers.hidden, config.model.towers.dropout)
    if ranks.rank() > 0:
        torch.manual_seed(hash((config.seed, ranks.rank())))  # The weights are the same on all ranks, what dropout draws is not.
    mean, scale = _label_scale(config.tasks, prepared)
    return RankingModel(embeddings, Ranker(encoder, architecture, towers), Outputs(config.tasks, mean, scale), config.training.precision)


def build_losses(tasks: dict[str, Task]) -> TaskLosses:
    """The loss of each task: its own, else bce for binary and mse for regression tasks."""
    losses = []
    for name, task in tasks.items():
        part = task.loss or LossPart(kind="bce" if task.kind == "binary" else "mse")
        loss_class, loss_config = resolve_part(part)
        if task.kind not in loss_class.kinds:
            raise ConfigError(f"{part.kind!r} is not a loss of a {task.kind} task", where=f"tasks.{name}.loss.kind")
        losses.append(loss_class(loss_config))
    return TaskLosses(losses, [task.weight for task in tasks.values()])


def build_weighting(config: Config) -> nn.Module:
    weighting_class, weighting_config = resolve_part(config.objective.weighting)
    weighting: nn.Module = weighting_class(len(config.tasks), weighting_config)
    return weighting


def _label_scale(tasks: dict[str, Task], prepared: Prepared) -> tuple[list[float], list[float]]:
    mean, scale = [], []
    for name, task in tasks.items():
        facts = prepared.facts["train"][name]
        is_regression = task.kind == "regression"
        mean.append(facts["mean"] if is_regression else 0.0)
        scale.append(facts["deviation"] if is_regression and facts["deviation"] > 0 else 1.0)
    return mean, scale
