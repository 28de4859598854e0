"""What no single section of a configuration can see: rules between log, features and tasks, each fault with its dotted path."""

from collections.abc import Iterator
from fnmatch import fnmatchcase

from mtrec.registry import suggest
from mtrec.schema import Features, Log, Task

__all__ = ["faults_across_sections"]


def faults_across_sections(log: Log, features: Features, tasks: dict[str, Task]) -> list[tuple[str, str]]:
    """All faults as (dotted path, sentence)."""
    return [*_of_log(log), *_of_tasks(tasks), *_of_features(features), *_of_leaks(features, tasks)]


def _of_log(log: Log) -> Iterator[tuple[str, str]]:
    if log.split.by == "time" and log.roles.time is None:
        yield "log.split.by", "a split by time needs the time column: set log.roles.time."


def _of_tasks(tasks: dict[str, Task]) -> Iterator[tuple[str, str]]:
    for name, task in tasks.items():
        path = f"tasks.{name}"
        if not (name.isascii() and name.replace("_", "a").isalnum()):
            yield path, "a task's name holds letters of ASCII, digits and underscores only."
        if task.given is not None and task.given not in tasks:
            yield f"{path}.given", f"there is no task {task.given!r}. {suggest(task.given, list(tasks)) or ''}".rstrip()
        elif task.given is not None and tasks[task.given].kind != "binary":
            yield f"{path}.given", f"{task.given!r} is not binary."
        elif task.given is not None and name in _ancestors(name, tasks):
            yield f"{path}.given", "the tasks are given in a circle."
        if task.given is None and task.outputs != Task.model_fields["outputs"].default:
            yield f"{path}.outputs", "only a task with `given` has conditional and joint outputs."
        if task.kind == "regression" and task.label.at_least is not None:
            yield f"{path}.label.at_least", "this makes a binary label of a regression task."
        if task.loss is not None:
            fitting = ("bce",) if task.kind == "binary" else ("mse", "huber")
            if task.loss.kind in ("bce", "mse", "huber") and task.loss.kind not in fitting:
                yield f"{path}.loss.kind", f"{task.loss.kind!r} is not a loss of a {task.kind} task. Expected one of {', '.join(fitting)}."


def _ancestors(name: str, tasks: dict[str, Task]) -> list[str]:
    found: list[str] = []
    given = tasks[name].given
    while given is not None and given in tasks and given not in found:
        found.append(given)
        given = tasks[given].given
    return found


def _of_features(features: Features) -> Iterator[tuple[str, str]]:
    if not (features.ids or features.numbers or features.sequences):
        yield "features", "the model has no inputs: declare ids, numbers or sequences."
    names: set[str] = set()
    for index, feature in enumerate(features.ids):
        if feature.name in names:
            yield f"features.ids.{index}", f"{feature.name!r} is declared twice."
        names.add(feature.name)
    single = {feature.column for feature in features.ids if feature.column is not None}
    for index, sequence in enumerate(features.sequences):
        if sequence.source in names:
            yield f"features.sequences.{index}.from", f"{sequence.source!r} is declared twice."
        names.add(sequence.source)
        for source, target in sequence.shares.items():
            path = f"features.sequences.{index}.shares.{source}"
            if source != sequence.source:
                yield path, f"the sequence {sequence.source!r} has no column of this name."
            if target not in single:
                yield path, f"there is no id feature {target!r}. {suggest(target, sorted(single)) or ''}".rstrip()
    by_table: dict[str, str] = {}
    for index, feature in enumerate(features.ids):
        if feature.table is not None:
            encoding = feature.encoding.model_dump_json()
            if by_table.setdefault(feature.table, encoding) != encoding:
                yield f"features.ids.{index}.encoding", f"features of the table {feature.table!r} must have one encoding."


def _of_leaks(features: Features, tasks: dict[str, Task]) -> Iterator[tuple[str, str]]:
    labels = {task.label.column: name for name, task in tasks.items()}
    for index, feature in enumerate(features.ids):
        for column in [feature.column] if feature.column is not None else feature.cross:
            if column in labels:
                yield f"features.ids.{index}", f"{column!r} is the label of {labels[column]!r}: an outcome cannot be an input."
    for index, number in enumerate(features.numbers):
        for column in sorted(labels):
            if fnmatchcase(column, number.column):
                leak = f"{number.column!r} takes in {column!r}, the label of {labels[column]!r}"
                yield f"features.numbers.{index}", f"{leak}: an outcome cannot be an input."
