"""What each architecture costs at its defaults, against MMoE: parameters, and time of a step on one thread.

    python -m benchmarks.architecture_cost

Forward and backward of the architecture alone, without embeddings and towers, for 4 tasks in 2 categories on 2,048 rows of 256 numbers, or of 20
tokens of 16: process CPU time, each in turn with MMoE, the median of the ratios.
"""

import statistics
import time
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel
from torch import Tensor, nn

from benchmarks.machine import describe
from mtrec import registry
from mtrec.jobs.listing import example_parameters

ROUNDS = 15
NUM_ROWS = 2048


def main() -> None:
    torch.set_num_threads(1)
    base_parameters = example_parameters(*_default("mmoe"))
    lines = ["| architecture | parameters | of MMoE's | ms a step | of MMoE's |", "|---|---|---|---|---|"]
    base = _example("mmoe")
    for name in registry.names("architectures"):
        example, rounds = _example(name), []
        for _ in range(ROUNDS + 2):  # The first two warm up.
            of_mmoe = _seconds(*base)
            rounds.append((own := _seconds(*example), own / of_mmoe))
        milliseconds, ratio = (statistics.median(each) for each in zip(*rounds[2:], strict=True))
        parameters = example_parameters(*_default(name))
        lines.append(f"| {name} | {parameters:,} | {parameters / base_parameters:.2f} | {1000 * milliseconds:.0f} | {ratio:.1f} |")
        print(lines[-1], flush=True)
    text = "\n".join(["# What architectures cost at their defaults", "", f"{describe()}. One thread, float32.", "", *lines, ""])
    Path("benchmarks/results/architecture_cost.md").write_text(text, encoding="utf-8")


def _default(name: str) -> tuple[type[Any], BaseModel]:
    part, config = registry.part("architectures", name)
    return part, config()


def _example(name: str) -> tuple[nn.Module, Tensor]:
    part, config = _default(name)
    torch.manual_seed(0)
    more = {"categories": [0, 0, 1, 1]} if getattr(part, "needs_categories", False) else {}
    if "fields" in part.requires:
        return part(16, 20, 4, config, **more), torch.randn(NUM_ROWS, 20, 16)
    return part(256, 1, 4, config, **more), torch.randn(NUM_ROWS, 256)


def _seconds(model: nn.Module, x: Tensor) -> float:
    started = time.process_time()
    model(x).sum().backward()
    return time.process_time() - started


if __name__ == "__main__":
    main()
