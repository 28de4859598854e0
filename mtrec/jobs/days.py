"""The runs of a backtest: a day trained anew, or as a nightly job that never starts anew does it."""

from collections.abc import Callable
from datetime import date

from mtrec.config import Config
from mtrec.data.bundle import Prepared
from mtrec.data.split import SPLITS
from mtrec.data.subset import write_subset
from mtrec.errors import ConfigError
from mtrec.evaluation.days import rows_of, split_at
from mtrec.jobs.begin import Beginning, best_checkpoint
from mtrec.jobs.load import Loaded, load_run
from mtrec.jobs.train import train
from mtrec.training import checkpoint
from mtrec.training.run import RunDirectory

__all__ = ["cold_day", "refuse_phases", "warm_day"]


def cold_day(config: Config, valid: date, test: date, progress: Callable[[str, int], None]) -> Loaded:
    """The run of a day, trained anew on all days before `valid`."""
    return load_run(train(split_at(config, valid, test, f"backtest/{test}"), progress).path)


def warm_day(config: Config, whole: Prepared, before: RunDirectory, days: tuple[date, date, date], progress: Callable[[str, int], None]) -> Loaded:
    """The run of a day: one epoch over the day that has newly come in, from the best weights, optimizers and averages of the run before.

    Its rows are encoded as the features of the first day were fitted, so ids that have come since share the row of unknown ones. Schedules of
    learning rates begin again each day. The run's folder is named by its day and by the weights that it begins with, which bear the marks of all that
    was trained before: where these are others, for the first day was, it is another run.

    Args:
        whole: the prepared log of the first day, which holds all later days as they were held out.
        before: the run of the day before.
        days: what it trains on, chooses on, and is judged on.
    """
    _, valid, test = days
    weights = best_checkpoint(before)
    config = split_at(config, valid, test, f"backtest-warm/{test}-{checkpoint.digest(weights)[:16]}")
    config = config.model_copy(update={"training": config.training.model_copy(update={"epochs": 1})})
    held_out = {source: rows_of(whole.columns(source), days, config) for source in ("valid", "test")}
    chosen = {split: {source: rows[place] for source, rows in held_out.items()} for place, split in enumerate(SPLITS)}
    prepared = write_subset(whole, whole.path.with_name(f"{whole.path.name}-{test}"), chosen, config)
    return load_run(train(config, progress, beginning=Beginning(prepared, weights)).path, prepared)


def refuse_phases(config: Config) -> None:
    """See that a model of this configuration can go on from day to day.

    Raises:
        ConfigError: if it is trained in phases, each of which begins anew.
    """
    if config.needs_sessions:
        found, do = config.objective.weighting.kind, "Leave out --warm: each day is then trained anew."
        raise ConfigError("This weighting trains in phases, which cannot go on from day to day", where="objective.weighting.kind", found=found, do=do)
