"""Softmax gates of which a seeded draw has closed some, so that experts differ by who sees them.

Shapes: R output units, E experts.
"""

import hashlib
from typing import Any, Literal

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt
from torch import Tensor

from mtrec.errors import ConfigError
from mtrec.model.gates import softmax
from mtrec.model.nn.gate import GateOptions

__all__ = ["Config", "Exclusive"]


class Config(GateOptions):
    """Options of exclusive gates.

    Attributes:
        mode: exclusivity: a drawn expert is seen by the drawn unit only; exclusion: by all but the drawn unit.
        alpha: the share of the experts that are drawn.
        seed: of the draw.
    """

    mode: Literal["exclusivity", "exclusion"] = "exclusivity"
    alpha: NonNegativeFloat = Field(default=0.5, le=1)
    seed: NonNegativeInt = 0


class Exclusive(softmax.Softmax):
    """Softmax gates over the edges that a draw leaves open.

    Each of the first floor(alpha E) experts draws an output unit r_e, uniformly; with `exclusivity` only r_e sees e, with `exclusion` all but
    r_e do. The other experts stay as they are. The draw depends on the seed and the number of units alone, on any machine; it is kept as the
    buffer `visible_RE`, and a state with another draw is refused.

    Parameters: as softmax gates, with a bias and weights for open edges only.
    Source: Aoki et al., Heterogeneous Multi-task Learning with Expert Diversity, BIOKDD 2021. Their code closes an edge by a zero column of the
    gate's kernel, which still gives the expert the weight of a zero logit; here a closed edge has weight 0 and gradient 0. Their two-step
    training is no part of this.

    Raises:
        ConfigError: if the draw leaves a unit without an expert.
    """

    paper = "Aoki et al., Heterogeneous Multi-task Learning with Expert Diversity, BIOKDD 2021"
    visible_RE: Tensor

    def __init__(self, width: int, source: list[int], visibility: Tensor, config: Config) -> None:
        super().__init__(width, source, visibility, config)
        self.register_buffer("visible_RE", self.open_edges(visibility, config))

    @staticmethod
    def open_edges(visibility: Tensor, config: Config) -> Tensor:
        num_rows, num_experts = visibility.shape
        visible_RE = visibility.clone()
        for expert in range(int(config.alpha * num_experts)):
            # Not torch's random numbers: another version could draw others.
            digest = hashlib.sha256(f"{config.seed}/{expert}".encode()).digest()
            is_drawn_R = torch.arange(num_rows) == int.from_bytes(digest[:8], "big") % num_rows
            visible_RE[:, expert] &= is_drawn_R if config.mode == "exclusivity" else ~is_drawn_R
        blind = (~visible_RE.any(dim=1)).nonzero().flatten().tolist()
        if blind:
            do = "Take a smaller alpha, another seed, or more experts."
            raise ConfigError("The draw of exclusive gates leaves output units without an expert", where="gate", found=f"units {blind}", do=do)
        return visible_RE

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        saved = state_dict.get(f"{prefix}visible_RE")
        if saved is not None and not torch.equal(saved, self.visible_RE):
            raise ConfigError("The state has another draw of exclusive gates", where=f"{prefix}visible_RE", do="Use the seed it was trained with.")
        super()._load_from_state_dict(state_dict, prefix, *others)
