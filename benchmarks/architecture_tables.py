"""The tables of `benchmarks.architectures`, made from the kept rows."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

__all__ = ["Log", "Result", "chosen_rate", "cost_of_unrelated", "table"]

BASES = ("mmoe", "shared_bottom")


class Log(NamedTuple):
    """A log that architectures are compared on.

    Attributes:
        name: of its table.
        config: the set, which is the name of its configuration.
        source: folder of the log.
        tasks: those whose metric makes the mean.
        metric: "auc", of which more is better, or "rmse", of which less is.
        stopping: the metric by which the epoch is chosen, where it is not that of the configuration.
        rates: the learning rates of the dense model that are tried.
    """

    name: str
    config: str
    source: str
    tasks: tuple[str, ...]
    metric: str
    stopping: str | None = None
    rates: tuple[float, ...] = (0.0005, 0.001, 0.002)

    def mean(self, metrics: dict[str, float]) -> float:
        return float(np.mean([metrics[f"{task}/{self.metric}"] for task in self.tasks]))


class Result(NamedTuple):
    """One run.

    Attributes:
        log, row, rate, seed: which run: the log's name, the architecture's, the learning rate of the dense model.
        digest: of the configuration.
        valid, test: `task/metric` of the best epoch.
        epochs: how many were trained.
        epoch_seconds: process CPU time of the training steps of an epoch: their median times their number.
        seconds: wall time of the run, with judging; without preparation.
        num_dense: parameters of encoder, architecture and towers.
    """

    log: str
    row: str
    rate: float
    seed: int
    digest: str
    valid: dict[str, float]
    test: dict[str, float]
    epochs: int
    epoch_seconds: float
    seconds: float
    num_dense: int


def chosen_rate(results: Iterable[Result], log: Log) -> float:
    """The learning rate that is best on valid; of equal ones the lowest."""
    sign = -1 if log.metric == "auc" else 1
    return min(results, key=lambda result: (sign * log.mean(result.valid), result.rate)).rate


def table(results: Sequence[Result], log: Log, seeds: Sequence[int], rows: Sequence[str]) -> str:
    """The section of one log: a line for each architecture all of whose seeds are there, and what shared bottom wins; empty without such a line.

    Args:
        seeds: the learning rate is chosen with the first one.
        rows: the architectures in the order of their lines.
    """
    finished = {row: found for row in rows if (found := _chosen([each for each in results if (each.log, each.row) == (log.name, row)], log, seeds))}
    if not finished:
        return ""
    judged = list(dict.fromkeys(name for found in finished.values() for name in found[0].test if name.endswith(("/auc", "/rmse"))))
    better = "higher" if log.metric == "auc" else "lower"
    heads = ["architecture", *(name.replace("/", ", ") for name in judged), f"mean {log.metric}", *(f"against {base}" for base in BASES)]
    lines = [_line([*heads, "CPU s an epoch", "epochs", "dense parameters", "lr"]), "|" + "---|" * (len(heads) + 4)]
    for row, found in finished.items():
        means = np.array([log.mean(each.test) for each in found])
        cells = [row, *(f"{np.mean([each.test[name] for each in found]):.4f}" for name in judged), f"{means.mean():.4f} ± {_half(means):.4f}"]
        cells += [_against(means, finished, base, log) if base != row else "" for base in BASES]
        cells += [f"{np.mean([each.epoch_seconds for each in found]):.1f}", f"{np.mean([each.epochs for each in found]):.1f}"]
        lines.append(_line([*cells, f"{found[0].num_dense:,}", f"{found[0].rate:g}"]))
    mean_of = f"The mean is over {', '.join(log.tasks)}; {better} is better."
    return "\n".join([f"## {log.name}", "", f"{len(seeds)} seeds. {mean_of}{_wins(finished, log)}", "", *lines, ""])


def cost_of_unrelated(results: Sequence[Result], related: Log, unrelated: Log, seed: int, rows: Sequence[str]) -> str:
    """The section of what it costs each architecture that the tasks are no longer related, by all seeds that both logs have.

    Args:
        seed: the learning rate is chosen with it.
        rows: the architectures in the order of their lines.
    """
    costs: dict[str, dict[int, float]] = {}
    for row in rows:
        on = [_by_seed([each for each in results if (each.log, each.row) == (log.name, row)], log, seed) for log in (related, unrelated)]
        costs[row] = {seed: unrelated.mean(on[1][seed].test) - related.mean(on[0][seed].test) for seed in sorted(on[0].keys() & on[1].keys())}
    base = costs.get(BASES[0], {})
    heads = ["architecture", "seeds", f"mean {related.metric}, {unrelated.name} less {related.name}", f"beyond {BASES[0]}'s"]
    lines = [_line(heads), "|---|---|---|---|"]
    for row, cost in costs.items():
        own, both = np.array(list(cost.values())), [cost[seed] - base[seed] for seed in cost if seed in base and row != BASES[0]]
        cells = [f"{found.mean():+.4f} ± {_half(found):.4f}" if len(found) > 1 else "" for found in (own, np.array(both))]
        lines += [_line([row, str(len(own)), *cells])] if len(own) > 1 else []
    text = f"Runs on {unrelated.name} and {related.name} with the same seed, by all seeds that both have."
    return "\n".join(["## What it costs that the tasks are not related", "", text, "", *lines, ""]) if len(lines) > 2 else ""


def _chosen(results: list[Result], log: Log, seeds: Sequence[int]) -> list[Result] | None:
    """The runs with the chosen learning rate, one a seed; None if one is missing."""
    by_seed = _by_seed(results, log, seeds[0])
    return [by_seed[seed] for seed in seeds] if by_seed.keys() >= set(seeds) else None


def _by_seed(results: list[Result], log: Log, first_seed: int) -> dict[int, Result]:
    """The runs with the learning rate that is chosen with the first seed."""
    first = [each for each in results if each.seed == first_seed]
    rate = chosen_rate(first, log) if first else None
    return {each.seed: each for each in results if each.rate == rate}


def _half(values: np.ndarray) -> float:
    """Half of the 95 % interval of a mean (Student's t)."""
    return float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5) if len(values) > 1 else float("nan")


def _against(means: np.ndarray, finished: dict[str, list[Result]], base: str, log: Log) -> str:
    if base not in finished:
        return ""
    gain = means - np.array([log.mean(each.test) for each in finished[base]])
    return f"{gain.mean():+.4f} ± {_half(gain):.4f}"


def _wins(finished: dict[str, list[Result]], log: Log) -> str:
    """Over which architectures shared bottom is better, and where by more than the interval of the paired difference."""
    if "shared_bottom" not in finished or len(finished) < 2:
        return ""
    sign = 1 if log.metric == "auc" else -1
    base = np.array([log.mean(each.test) for each in finished["shared_bottom"]])
    gains = {row: sign * (base - [log.mean(each.test) for each in found]) for row, found in finished.items() if row != "shared_bottom"}
    ahead = [f"{row}{' (beyond the interval)' if gain.mean() > _half(gain) else ''}" for row, gain in gains.items() if gain.mean() > 0]
    return f" Shared bottom is ahead of {', '.join(ahead) or 'none'}."


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
