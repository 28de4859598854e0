"""The errors of mtrec: each says what is wrong, where, what was found, what was expected, and what to do.

Every class has the exit code with which the command line ends. All are `ValueError`s, as users of scikit-learn expect.
"""

__all__ = ["BundleError", "ConfigError", "DataError", "GateError", "MtrecError", "TrainingError"]


class MtrecError(ValueError):
    """The base of all errors that mtrec raises on purpose.

    Args:
        what: what is wrong, a sentence without its full stop.
        where: the file, column, dotted key or step.
        found: what was there.
        expected: what should have been there.
        do: what the reader can do about it.

    >>> print(MtrecError("The column is missing", where="log.parquet", expected="`price`", do="Add it or drop the feature."))
    The column is missing (log.parquet). Expected: `price`. Add it or drop the feature.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: object = None, found: object = None, expected: object = None, do: str | None = None) -> None:
        parts = [f"{what} ({where})." if where is not None else f"{what}."]
        if found is not None:
            parts.append(f"Found: {found}.")
        if expected is not None:
            parts.append(f"Expected: {expected}.")
        if do is not None:
            parts.append(do)
        super().__init__(" ".join(parts))


class ConfigError(MtrecError):
    """A configuration that cannot be run."""

    exit_code = 2


class DataError(MtrecError):
    """A log or a request that breaks its schema."""

    exit_code = 3


class BundleError(MtrecError):
    """A prepared log, checkpoint or artifact that is damaged, incomplete, or of another make."""

    exit_code = 4


class TrainingError(MtrecError):
    """A training step that cannot be taken, such as one with a loss that is not finite."""

    exit_code = 5


class GateError(MtrecError):
    """A check that stands before a result is handed on said no, such as score parity at export."""

    exit_code = 6
