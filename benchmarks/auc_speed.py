"""Exact AUC of 10 million scores and GAUC of 1 million: process CPU time, alternated with the other way, median of the ratios of each round.

python -m benchmarks.auc_speed
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from benchmarks.machine import describe
from mtrec.evaluation.metrics.auc import auc
from mtrec.evaluation.metrics.gauc import gauc
from mtrec.evaluation.metrics.groups import group_ids
from mtrec.evaluation.metrics.score_counts import ScoreCounts

ROUNDS = 5
NUM_SCORES = 10_000_000
NUM_GROUPED, NUM_USERS = 1_000_000, 150_000
SHARE = 50  # scikit-learn user by user is run on the rows of one user in so many


def main() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(size=NUM_SCORES).astype(np.float32)
    labels = (random.random(NUM_SCORES) < 1 / (1 + np.exp(3 - logits))).astype(np.int8)
    head = ["| scores | mtrec, CPU s | other, CPU s | ratio | difference |", "|---|---|---|---|---|"]
    lines = []
    for name, values in {"probabilities": 1 / (1 + np.exp(-logits)), "logits": logits}.items():
        ours, theirs = (lambda v=values: auc(v, labels).value), (lambda v=values: float(roc_auc_score(labels, v)))
        lines.append(row(f"{name}, interval included; other: scikit-learn", ours, theirs))
    probabilities = 1 / (1 + np.exp(-logits))
    chunked = lambda: in_chunks(probabilities, labels)  # noqa: E731
    lines.append(
        row("probabilities in 10 chunks, counts merged; other: scikit-learn on the whole", chunked, lambda: roc_auc_score(labels, probabilities))
    )
    scores, clicks, users = probabilities[:NUM_GROUPED], labels[:NUM_GROUPED], random.integers(0, NUM_USERS, NUM_GROUPED) * 7919
    ours = lambda: gauc(scores, clicks, group_ids([users])).value  # noqa: E731
    grouped = [
        row("ids of the users included; other: pandas, ranks within users", ours, lambda: by_pandas(scores, clicks, users)),
        row_by_user(ours, scores, clicks, users),
    ]
    text = "\n".join(
        [
            "# Exact AUC of 10 million scores", "", f"{describe()}.", "", *head, *lines, "",
            f"# GAUC of {NUM_GROUPED:,} rows of {NUM_USERS:,} users, mean by impressions", "", *head, *grouped, "",
        ]
    )  # fmt: skip
    Path("benchmarks/results/auc_speed.md").write_text(text)
    print(text)


def row(name: str, ours: Callable[[], Any], theirs: Callable[[], Any], factor: float = 1.0, compared: bool = True) -> str:
    values = ours(), theirs()  # Once before the clock runs: imports, caches.
    rounds = []
    for _ in range(ROUNDS):
        started = time.process_time()
        ours()
        middle = time.process_time()
        theirs()
        rounds.append((middle - started, (time.process_time() - middle) * factor))
    mine, other = np.median(rounds, axis=0)
    difference = f"{abs(values[0] - values[1]):.0e}" if compared else "not compared"
    return f"| {name} | {mine:.3f} | {other:.2f} | {np.median([b / a for a, b in rounds]):.1f} | {difference} |"


def in_chunks(scores: NDArray[Any], labels: NDArray[Any]) -> float | None:
    counts = ScoreCounts()
    for part in np.array_split(np.arange(len(scores)), 10):
        counts.add(scores[part], labels[part])
    return counts.auc().value


def by_pandas(scores: NDArray[Any], labels: NDArray[Any], users: NDArray[Any]) -> float:
    frame = pd.DataFrame({"user": users, "score": scores, "label": labels.astype(np.int64)})
    frame["ranks"] = frame.groupby("user")["score"].rank() * frame["label"]
    found = frame.groupby("user").agg(rows=("label", "size"), positives=("label", "sum"), ranks=("ranks", "sum"))
    found = found[(found["positives"] > 0) & (found["positives"] < found["rows"])]
    m, n = found["positives"], found["rows"] - found["positives"]
    return float(np.average((found["ranks"] - m * (m + 1) / 2) / (m * n), weights=found["rows"]))


def row_by_user(ours: Callable[[], Any], scores: NDArray[Any], labels: NDArray[Any], users: NDArray[Any]) -> str:
    """scikit-learn called for each user in turn, on a part of the users, its time multiplied: on all of them it would take minutes."""
    mine = users // 7919 % SHARE == 0
    order = np.argsort(users[mine], kind="stable")
    part = [column[mine][order] for column in (scores, labels, users)]

    def theirs() -> list[float]:
        starts = np.flatnonzero(np.concatenate([[True], part[2][1:] != part[2][:-1]]))
        groups = zip(np.split(part[0], starts[1:]), np.split(part[1], starts[1:]), strict=True)
        return [roc_auc_score(label, score) for score, label in groups if 0 < label.sum() < len(label)]

    return row(f"ids included; other: scikit-learn user by user, on 1 in {SHARE} users, times {SHARE}", ours, theirs, SHARE, compared=False)


if __name__ == "__main__":
    main()
