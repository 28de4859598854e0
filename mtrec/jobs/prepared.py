"""The prepared log of a run, with the raw columns that it is to be judged by."""

from mtrec.config import Config
from mtrec.data.bundle import Prepared
from mtrec.errors import BundleError
from mtrec.jobs.prepare import prepare

__all__ = ["prepared_to_judge"]


def prepared_to_judge(config: Config, path: str) -> Prepared:
    """What a run was trained on; prepared again, with other raw columns beside, where `evaluation` has come to name columns that are not there.

    The same log and the same sections give the same rows and the same encoding, so the weights fit both.

    Raises:
        BundleError: if columns are lacking and the log gives other rows: it has changed, or a warm backtest trained on some rows of it.
    """
    trained_on = Prepared(path)
    if not (lacking := config.columns_of_groups() - set(trained_on.kept)):
        return trained_on
    if not trained_on.is_part and (again := prepare(config)).digest == trained_on.digest:
        return again
    what = f"What was prepared lacks {', '.join(sorted(lacking))}, and the log gives other rows than these"
    do = "Put the log back as it was, or leave `evaluation` as it was; days of a warm backtest are judged by `mtrec backtest --warm`."
    raise BundleError(what, where=path, do=do)
