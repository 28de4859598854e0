"""Experts side by side against a loop over them: process CPU time on one thread, alternated, median of the ratios of each round.

python -m benchmarks.experts
"""

import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.machine import describe
from mtrec.model.nn.fusion import FusionLayer

ROUNDS = 15
SECONDS = 0.05  # Of work a round and side.
SHAPES = [(256, [128, 64], 8, 4), (512, [256, 128], 12, 6), (128, [32], 24, 8)]  # D, H, E, T
BATCHES = [1, 64, 1024, 4096]


def looped(layer: FusionLayer, x: Tensor) -> Tensor:
    """The layer's numbers, one expert, one gate and one weighted sum at a time."""
    experts = []
    for e in range(layer.num_experts):
        h = x
        for linear in [layer.first, *layer.later.layers]:
            h = torch.relu(functional.linear(h, linear.weight[e], linear.bias[e]))
        experts.append(h)
    experts_BEH = torch.stack(experts, dim=1)
    tasks = []
    for row in range(layer.num_rows):
        start, stop = layer.gates.first_edge[row], layer.gates.first_edge[row + 1]
        gate_BE = torch.softmax(functional.linear(x, layer.gates.weight[start:stop], layer.gates.bias[start:stop]), dim=1)
        tasks.append((gate_BE.unsqueeze(2) * experts_BEH).sum(dim=1))
    return torch.stack(tasks, dim=1)


def seconds(work: Callable[[], object], times: int) -> float:
    started = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - started) / times


def ratio(layer: FusionLayer, x: Tensor, trains: bool) -> tuple[float, float]:
    """Median milliseconds side by side, and the median ratio of the loop to that."""

    def run(forward: Callable[[], Tensor]) -> None:
        with torch.set_grad_enabled(trains):
            z = forward()
            if trains:
                z.sum().backward()

    sides = [lambda: run(lambda: layer(x)), lambda: run(lambda: looped(layer, x))]
    times = [max(1, int(SECONDS / max(seconds(side, 2), 1e-6))) for side in sides]
    rounds = []
    for number in range(ROUNDS):
        order = (0, 1) if number % 2 else (1, 0)
        taken = {side: seconds(sides[side], times[side]) for side in order}
        rounds.append((taken[0], taken[1] / taken[0]))
    own, against = torch.tensor(rounds).median(dim=0).values.tolist()
    return 1000 * own, against


def main() -> None:
    torch.set_num_threads(1)
    heads = ["D, H, E, T", "B", "forward, ms", "times faster than the loop", "with backward, ms", "times faster", "largest difference"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for width, hidden, num_experts, num_tasks in SHAPES:
        torch.manual_seed(0)
        layer = FusionLayer(
            width, hidden, num_units=1, expert_unit=[0] * num_experts, output_unit=[0] * num_tasks,
            visibility=torch.ones(num_tasks, num_experts, dtype=torch.bool),
        )  # fmt: skip
        for num_rows in BATCHES:
            x = torch.randn(num_rows, width)
            difference = (layer(x) - looped(layer, x)).abs().max().item()
            (forward, faster), (both, faster_both) = ratio(layer, x, False), ratio(layer, x, True)
            shape = f"{width}, {hidden}, {num_experts}, {num_tasks}"
            lines.append(f"| {shape} | {num_rows} | {forward:.2f} | {faster:.2f} | {both:.2f} | {faster_both:.2f} | {difference:.0e} |")
            print(lines[-1], flush=True)
    about = f"{describe()}. One thread, float32, process CPU time. A ratio below 1 is a loop that is faster."
    text = "\n".join(["# Experts side by side against a loop over them", "", about, "", *lines, ""])
    Path("benchmarks/results/experts.md").write_text(text)


if __name__ == "__main__":
    main()
