"""`mtrec evaluate --single-task`: each task's twin that is trained alone, over several seeds, beside the model of all tasks."""

from collections.abc import Callable
from typing import Any

from mtrec.data.one_task import OneTask
from mtrec.errors import ConfigError
from mtrec.evaluation.verdict import LEAST_SEEDS, judge_uncalibrated, verdicts
from mtrec.jobs.beside import trained_beside
from mtrec.jobs.load import Loaded
from mtrec.training.scoring import SCORING_ROWS, score
from mtrec.training.twin import twin_of

__all__ = ["single_task", "single_task_of"]


def single_task(loaded: Loaded, num_seeds: int = LEAST_SEEDS, progress: Callable[[str], None] = lambda done: None) -> dict[str, Any]:
    """The part `single_task` of a report: per task what sharing gives or takes on test, over the run's seed and those after it.

    All models are trained on the run's prepared log; each has a folder in RUN/single_task, where it goes on if it was stopped.

    Args:
        progress: called with the name of each folder whose model is done.

    Raises:
        ConfigError: if there are too few seeds.
    """
    if num_seeds < LEAST_SEEDS:
        raise ConfigError("A verdict takes several seeds", found=num_seeds, expected=f"at least {LEAST_SEEDS}")
    config, prepared, model, folder = loaded.config, loaded.prepared, loaded.model, loaded.run.path / "single_task"
    seeds = [config.seed + place for place in range(num_seeds)]
    together = [judge_uncalibrated(score(model, prepared.reader("test", SCORING_ROWS)), config)]
    together += [trained_beside(config, prepared, folder / f"all-tasks-seed-{seed}", seed, progress) for seed in seeds[1:]]
    alone = {}
    for place, name in enumerate(config.tasks):
        twin, view = twin_of(config, name, model), OneTask(prepared, place)
        alone[name] = [trained_beside(twin, view, folder / f"{name}-seed-{seed}", seed, progress) for seed in seeds]
    return {"seeds": seeds, "tasks": verdicts(together, alone)}


def single_task_of(loaded: Loaded, split: str, num_seeds: int, progress: Callable[[str], None]) -> dict[str, Any]:
    """The same for a report of a split; nothing where it is not asked for.

    Raises:
        ConfigError: if it is asked for on other rows than those of test.
    """
    if num_seeds and split != "test":
        raise ConfigError("Tasks are compared with their single-task models on test only", found=split, do="Leave out --split and --log.")
    return {"single_task": single_task(loaded, num_seeds, progress)} if num_seeds else {}
