"""Exact AUC of 10 million scores against scikit-learn: process CPU time, alternated, median of the ratios of each round.

python -m benchmarks.auc_speed
"""

import time
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from benchmarks.machine import describe
from mtrec.evaluation.metrics.auc import auc

ROUNDS = 3
NUM_SCORES = 10_000_000


def main() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(size=NUM_SCORES).astype(np.float32)
    labels = (random.random(NUM_SCORES) < 1 / (1 + np.exp(3 - logits))).astype(np.int8)
    scores = {"probabilities": 1 / (1 + np.exp(-logits)), "logits": logits}
    lines = ["| scores | mtrec, interval included, CPU s | scikit-learn, CPU s | ratio | difference |", "|---|---|---|---|---|"]
    for name, values in scores.items():
        rounds = []
        for _ in range(ROUNDS):
            started = time.process_time()
            ours = auc(values, labels).value
            middle = time.process_time()
            theirs = roc_auc_score(labels, values)
            rounds.append((middle - started, time.process_time() - middle))
        assert ours is not None
        mine, other = np.median(rounds, axis=0)
        lines.append(f"| {name} | {mine:.2f} | {other:.2f} | {np.median([b / a for a, b in rounds]):.1f} | {abs(ours - theirs):.0e} |")
    text = "\n".join(["# Exact AUC of 10 million scores", "", f"{describe()}.", "", *lines, ""])
    Path("benchmarks/results/auc_speed.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
