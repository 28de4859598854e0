"""The sections of a configuration beside log, features and tasks: model, objective, training, tracking; every default is stated here.

One class a section; `mtrec.config` puts them together.
"""

import re
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, Tag, field_validator

from mtrec.schema import Part, Strict, as_list

__all__ = [
    "Checkpoints",
    "Counters",
    "DenseOptimizer",
    "EarlyStopping",
    "Ema",
    "EmbeddingOptimizer",
    "Evaluation",
    "History",
    "HistoryEntry",
    "Model",
    "Objective",
    "Optimizers",
    "Schedule",
    "Sharpness",
    "Towers",
    "Tracking",
    "Training",
    "duration",
]

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def duration(text: str) -> timedelta:
    """A length of time: a whole number and s, m, h, d or w.

    >>> duration("7d")
    datetime.timedelta(days=7)
    """
    found = re.fullmatch(r"(\d{1,6})([smhdw])", text)
    if found is None:
        raise ValueError("a length of time is a whole number and a unit: 30s, 10m, 6h, 7d or 2w")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def _duration(text: str) -> str:
    duration(text)
    return text


Duration = Annotated[str, BeforeValidator(_duration)]


class _PointInTime(Strict):
    """What a row may see of events: those with `time + delay` strictly before the row's time (`as_of: event`), or before the start of the
    row's day (`day`), which is what a nightly job can serve.

    `events` says which rows are events: `log` for the log's own, and files whose rows are events only, such as feedback from before the log.
    `by` holds columns, or the roles user, item and session.
    """

    as_of: Literal["event", "day"] = "event"
    delay: Duration = "0s"
    events: Annotated[list[str], BeforeValidator(as_list)] = Field(default=["log"], min_length=1)


class History(_PointInTime):
    """The `last` events of a key, newest last: a list column `<name>.<kept>` for each kept column, and aligned `<name>.gap`, days from event to row.

    `where` names a column; only events where it is 1 count.
    """

    by: Annotated[list[str], BeforeValidator(as_list)] = Field(min_length=1)
    where: str | None = None
    keep: list[str] = Field(min_length=1)
    last: PositiveInt = 50
    gap: bool = True


class Counters(_PointInTime):
    """Running counts of a key's events, for each key of `by` and each of `windows` (a length of time, or `all`).

    Columns, with key the columns of `by` joined by `+`: `<name>.<key>.<window>.events`, how many; for each label of `of`
    `<name>.<key>.<window>.<label>`, its sum, and `<name>.<key>.<window>.<label>.rate`, its mean over the events that know it, drawn towards
    the mean of all events by then as if `smoothing` more events had that. `centred` takes that mean away again, so that a key without events
    has 0 on every day: else the value of all such keys moves with the days, and a model that knows the earlier days takes it for news.

    `half_life` adds a window `decay`, in which an event counts half for each half-life that it is old. `recency` adds
    `<name>.<key>.days_since_last`, `.days_since_first` and `.mean_gap`, in days.
    """

    of: list[str]
    by: list[Annotated[list[str], BeforeValidator(as_list)]] = Field(min_length=1)
    windows: list[str] = Field(default=["all"])
    half_life: Duration | None = None
    smoothing: NonNegativeFloat = 20.0
    rates: bool = True
    centred: bool = True
    recency: bool = False

    @field_validator("windows", mode="before")
    @classmethod
    def _is_a_length(cls, value: Any) -> Any:
        for each in value if isinstance(value, list) else []:
            if isinstance(each, str) and each != "all":
                duration(each)
        return value


def _kind_of_entry(value: object) -> str:
    # Tags that begin with `function-` stay out of the dotted paths of faults.
    counts = isinstance(value, Counters) or (isinstance(value, dict) and "of" in value)
    return "function-counters" if counts else "function-history"


HistoryEntry = Annotated[Annotated[History, Tag("function-history")] | Annotated[Counters, Tag("function-counters")], Discriminator(_kind_of_entry)]


class EncoderPart(Part):
    folder = "encoders"


class ArchitecturePart(Part):
    folder = "architectures"


class WeightingPart(Part):
    folder = "weightings"


class AggregatorPart(Part):
    folder = "aggregators"


class Towers(Strict):
    """The head of each task: an MLP of its own."""

    hidden: list[PositiveInt] = [64]
    dropout: NonNegativeFloat = Field(default=0.0, lt=1)


class Model(Strict):
    """Embeddings, encoder, architecture, towers.

    `gate_features` names id features, such as the tab or the country, whose embeddings every gate reads beside its usual input.
    """

    embedding_dim: PositiveInt = Field(default=16, multiple_of=4)  # fbgemm looks up four at a time.
    encoder: EncoderPart = EncoderPart(kind="concat")
    architecture: ArchitecturePart = ArchitecturePart(kind="mmoe")
    gate_features: list[str] = []
    towers: Towers = Towers()


class Objective(Strict):
    """How the losses of the tasks become one: weights of losses, and if given, an aggregator of gradients where the tasks part."""

    weighting: WeightingPart = WeightingPart(kind="equal")
    aggregator: AggregatorPart | None = None


class DenseOptimizer(Strict):
    """The optimizer of everything but the embedding tables."""

    kind: Literal["adamw", "adam", "adagrad"] = "adamw"
    lr: PositiveFloat = 1e-3
    weight_decay: NonNegativeFloat = 0.0


class EmbeddingOptimizer(Strict):
    """The optimizer of the tables; it runs inside the backward pass and touches only the rows of the batch."""

    kind: Literal["rowwise_adagrad", "adagrad", "sgd"] = "rowwise_adagrad"
    lr: PositiveFloat = 0.01
    eps: PositiveFloat = 1e-8


class Optimizers(Strict):
    dense: DenseOptimizer = DenseOptimizer()
    embeddings: EmbeddingOptimizer = EmbeddingOptimizer()


class Schedule(Strict):
    """The factor on both learning rates: linear warm-up, then constant, linear or cosine down to `floor`, reached where the last epoch ends."""

    warmup_steps: NonNegativeInt = 0
    decay: Literal["none", "linear", "cosine"] = "none"
    floor: NonNegativeFloat = Field(default=0.0, le=1)


class Ema(Strict):
    """Averaged weights, used for validation, evaluation and export: average = decay * average + (1 - decay) * weight after each step. Running
    statistics of batch normalisation and the balance of gates are averaged too.

    `tables` averages the embedding tables too: a full pass over them each step, affordable while they are small.
    """

    decay: PositiveFloat = Field(default=0.98, lt=1)
    tables: bool = False


class EarlyStopping(Strict):
    """Stop when `metric` on valid has not improved for `patience` epochs; the best epoch's weights are kept in any case.

    `metric`: `mean_auc`, `<task>/<metric>` such as `buy/auc` or `spend/rmse`, or `no_task_worse` (better only if no task's metric fell).
    """

    metric: str = "mean_auc"
    patience: PositiveInt = 1


class Checkpoints(Strict):
    """A checkpoint at each epoch's end, and every `every_steps` steps if given; the last `keep` and the best stay."""

    every_steps: PositiveInt | None = None
    keep: PositiveInt = 2


class Sharpness(Strict):
    """Take each step with the gradient at the worst point within `rho` of the dense parameters; it costs a second pass through the dense model."""

    kind: Literal["sam"] = "sam"
    rho: PositiveFloat = 0.05


class Training(Strict):
    epochs: PositiveInt = 3
    batch_size: PositiveInt = 4096
    precision: Literal["fp32", "bf16"] = "fp32"
    threads: PositiveInt | None = None
    ema: Ema | None = Ema()
    early_stopping: EarlyStopping | None = EarlyStopping()
    optimizers: Optimizers = Optimizers()
    schedule: Schedule = Schedule()
    sharpness: Sharpness | None = None
    checkpoints: Checkpoints = Checkpoints()


class Evaluation(Strict):
    """How `mtrec evaluate` judges, beside the metrics of each task over all rows.

    `group` names what is ranked within, such as [user, day]: the roles user, item and session, `day`, which is the row's day in log.time.zone,
    or any columns of the log. `slices` names such columns, by whose values every metric is given too. `bootstrap` is the number of draws for
    intervals; 0 leaves them out.
    """

    group: Annotated[list[str], BeforeValidator(as_list)] = []
    slices: Annotated[list[str], BeforeValidator(as_list)] = []
    bootstrap: NonNegativeInt = 200


class Tracking(Strict):
    """Where metrics go besides the run's own metrics.jsonl. Paths are relative to the working directory."""

    kind: Literal["mlflow", "none"] = "mlflow"
    uri: str = "sqlite:///mlruns.db"
    artifacts: str = "mlartifacts"
    experiment: str = Field(default="mtrec", pattern=r"^[A-Za-z0-9_.-]+$")
