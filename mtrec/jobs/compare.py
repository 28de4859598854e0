"""`mtrec compare`: two models on the same judged rows, or two lists of runs paired by seed."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from mtrec.data.split import SPLITS
from mtrec.errors import ConfigError
from mtrec.evaluation.compare import ROWS_ONLY, SEEDS_ONLY, Differences, compare_rows, compare_seeds
from mtrec.evaluation.honest_window import void_reasons
from mtrec.evaluation.judged import judged_rows
from mtrec.evaluation.opponents import rows_of_file, rows_of_run
from mtrec.jobs.load import Loaded, load_run
from mtrec.training.run import RunDirectory
from mtrec.training.scoring import SCORING_ROWS, Scores, score

__all__ = ["compare"]


def compare(first: list[str], second: list[str], split: str = "test") -> dict[str, Any]:
    """The report of a comparison: `tasks` holds the differences, the first less the second, by task and metric.

    Args:
        first, second: one run each, or equally many that are paired by seed; a single second one may be a file of scores.

    Raises:
        ConfigError: if there is no such split, or the runs cannot be paired.
        DataError: if the two sides were not judged on the same rows.
    """
    if split not in SPLITS:
        raise ConfigError("There is no such split", found=split, expected=f"one of {', '.join(SPLITS)}")
    pairs = [(first[0], second[0])] if len(first) == len(second) == 1 else _paired(first, second)
    found = [_compared(*pair, split) for pair in pairs]
    tasks, covers = (found[0], ROWS_ONLY) if len(found) == 1 else (compare_seeds(found), SEEDS_ONLY)
    return {"format": 1, "split": split, "first": first, "second": second, "covers": covers, "tasks": tasks}


def _paired(first: list[str], second: list[str]) -> list[tuple[str, str]]:
    seeds = [{RunDirectory.existing(path).config().seed: path for path in side} for side in (first, second)]
    if len(seeds[0]) != len(first) or len(seeds[1]) != len(second) or seeds[0].keys() != seeds[1].keys():
        found = " and ".join(f"seeds {sorted(side)} of {len(paths)} runs" for side, paths in zip(seeds, (first, second), strict=True))
        raise ConfigError("Lists of runs are paired by seed", found=found, expected="each seed once on both sides")
    return [(path, seeds[1][seed]) for seed, path in seeds[0].items()]


def _compared(first: str, second: str, split: str) -> dict[str, Differences]:
    a, (scores, columns) = (loaded := load_run(first)).config, _scored(loaded, split)
    rows = judged_rows(scores, a, columns)
    if Path(second).is_dir():
        b, (others, beside) = (loaded := load_run(second)).config, _scored(loaded, split)
        opponent, void = rows_of_run(rows, (a, b), (scores, others), (columns, beside)), void_reasons(a, a) | void_reasons(b, a)
    else:
        opponent, void = rows_of_file(rows, a, scores, columns, Path(second)), void_reasons(a, a)
    return compare_rows({task: a.tasks[task].kind for task in opponent}, rows, opponent, void, a.evaluation.bootstrap)


def _scored(loaded: Loaded, split: str) -> tuple[Scores, pa.Table | None]:
    return score(loaded.model, loaded.prepared.reader(split, SCORING_ROWS)), loaded.prepared.columns(split)
