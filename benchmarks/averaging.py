"""What averaged weights give: none, dense only, dense and tables, on the demo's log with paired seeds.

    python -m benchmarks.averaging

Each run has three epochs, chooses the best on valid and is judged once on test. The table says the mean test AUC of the five binary tasks, and the
difference from no averaging paired by seed with a 95 % interval (Student's t). One row a run is kept as it ends, so a stopped benchmark goes on.
"""

import json
import shutil
from pathlib import Path

import numpy as np
from scipy import stats

from benchmarks.machine import describe
from mtrec.config import load
from mtrec.evaluation.evaluate import flat
from mtrec.jobs.train import train

ROWS = Path("benchmarks/results/averaging.jsonl")
TABLE = Path("benchmarks/results/averaging.md")
FOLDER = Path("runs/benchmark-averaging")
SEEDS = (0, 1, 2)
VARIANTS = {
    "none": "training.ema=null",
    "dense .98": "training.ema={decay: 0.98}",
    "dense and tables .98": "training.ema={decay: 0.98, tables: true}",
}


def main() -> None:
    done = {(row["variant"], row["seed"]): row for row in map(json.loads, ROWS.read_text().splitlines())} if ROWS.is_file() else {}
    for seed in SEEDS:
        for variant, override in VARIANTS.items():
            if (variant, seed) not in done:
                row = {"variant": variant, "seed": seed, **run(override, seed)}
                done[variant, seed] = row
                with ROWS.open("a") as stream:
                    stream.write(json.dumps(row) + "\n")
                print(row, flush=True)
    TABLE.write_text(table(done))
    print(TABLE.read_text())


def run(override: str, seed: int) -> dict[str, float]:
    shutil.rmtree(FOLDER / "run", ignore_errors=True)  # What is prepared beside it is shared by the runs of one seed.
    common = [f"run_dir={FOLDER}/run", f"seed={seed}", "tracking={kind: none}", "training.epochs=3"]
    report = json.loads(train(load("configs/complete_journey.yaml", [*common, override])).report_file.read_text())
    return {"mean_auc": flat(report["tasks"])["mean_auc"]}


def table(done: dict[tuple[str, int], dict[str, float]]) -> str:
    base = np.array([done["none", seed]["mean_auc"] for seed in SEEDS])
    lines = ["| averages | mean test AUC | against none, 95 % interval |", "|---|---|---|"]
    for variant in VARIANTS:
        values = np.array([done[variant, seed]["mean_auc"] for seed in SEEDS])
        gain = values - base
        half = stats.t.ppf(0.975, len(SEEDS) - 1) * gain.std(ddof=1) / len(SEEDS) ** 0.5
        against = "" if variant == "none" else f"{gain.mean():+.4f} ({gain.mean() - half:+.4f} to {gain.mean() + half:+.4f})"
        lines.append(f"| {variant} | {values.mean():.4f} | {against} |")
    return "\n".join(["# Averaged weights", "", f"{describe()}; {len(SEEDS)} paired seeds.", "", *lines, ""])


if __name__ == "__main__":
    main()
