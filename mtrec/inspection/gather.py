"""The one pass over a log: exact counts, samples by seeded hashes, counts of values. Memory does not grow with the log."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from mtrec.config import Config
from mtrec.data.extended import ExtendedLog
from mtrec.data.log import LogFiles
from mtrec.data.slices import Slice, read_slices
from mtrec.data.split import SPLITS, Splitter
from mtrec.errors import DataError
from mtrec.hash64 import combine_hashes, hash_int64
from mtrec.inspection.inputs import Inputs, Values
from mtrec.inspection.occurrences import Occurrences, content_hash
from mtrec.inspection.rates import Rates
from mtrec.inspection.rows import Rows, SmallestHashes

__all__ = ["SAMPLE_ROWS", "Gathered", "gather"]

SAMPLE_ROWS = 200_000  # of each split
GROUP_ROWS = 100_000  # of whole users, and of whole items
ROWS_TOLD_APART = 1_000_000  # Below it, repeated rows are counted exactly.


class Gathered:
    """What one pass keeps of a log.

    Attributes:
        rates: exact.
        rows: by split, those of smallest hash; infinite numbers are null.
        groups: by role user and item, all rows of users, of items, of smallest hash.
        repeats: of whole rows ("row"), of the keys ("keys"), of user, item and time ("user, item, time"): counts by split.
        users: counts by split.
        tables: by embedding table of ids, counts of its values: kind 0 in train, kinds 1 + 2 i and 2 + 2 i in valid and test of its i-th feature.
    """

    def __init__(self, inputs: Inputs, keys: list[str], seed: int) -> None:
        self.rates = Rates()
        self._samples = {split: SmallestHashes(SAMPLE_ROWS) for split in SPLITS}
        grouped: list[str] = [role for role in ("user", "item") if role in inputs.roles and "time" in inputs.roles]
        self._groups = {role: SmallestHashes(GROUP_ROWS) for role in grouped}
        named = {"row": True, "keys": bool(keys), "user, item, time": len(inputs.roles) == 3}
        self.repeats = {name: Occurrences(3, ROWS_TOLD_APART) for name, wanted in named.items() if wanted}
        self.users = Occurrences(3)
        self.features: dict[str, list[str]] = {}
        for source in inputs.ids:
            self.features.setdefault(source.table, []).append(source.name)
        self.tables = {table: Occurrences(1 + 2 * len(names)) for table, names in self.features.items()}
        self._keys, self._seed = keys, seed

    def add(self, part: Slice, rows: Rows, values: dict[str, Values]) -> None:
        splits = part.splits.astype(np.int64)
        self.rates.add(rows, splits)
        rows = rows._replace(numbers={name: np.where(np.isinf(each), np.nan, each) for name, each in rows.numbers.items()})
        for code, split in enumerate(SPLITS):
            chosen = splits == code
            self._samples[split].add(part.hashes[chosen], rows.take(chosen))
        for role, sample in self._groups.items():
            known = rows.roles[role] != 0
            by_value = hash_int64(torch.from_numpy(rows.roles[role][known]), self._seed).numpy().view(np.uint64)
            sample.add(by_value, rows.without_ids().take(known))
        for name, occurrences in self.repeats.items():
            occurrences.add(self._identity(name, part.table, rows), splits)
        if "user" in rows.roles:
            known = rows.roles["user"] != 0
            self.users.add(rows.roles["user"][known].view(np.uint64), splits[known])
        for name, features in self.features.items():
            for place, feature in enumerate(features):
                found = values[feature]
                kinds = np.repeat(np.where(splits == 0, 0, splits + 2 * place), found.lengths)
                self.tables[name].add(found.hashes.view(np.uint64), kinds)

    def _identity(self, name: str, table: pa.Table, rows: Rows) -> NDArray[np.uint64]:
        if name != "user, item, time":
            return content_hash(table.select(self._keys) if name == "keys" else table)
        parts = [rows.roles["user"], rows.roles["item"], rows.roles["time"].view(np.int64)]
        return combine_hashes(torch.from_numpy(np.stack(parts, axis=1))).numpy().view(np.uint64)

    def finish(self) -> None:
        self.rows = {split: sample.result() for split, sample in self._samples.items()}
        self.groups = {role: sample.result() for role, sample in self._groups.items()}
        self._samples, self._groups = {}, {}


def gather(log: LogFiles | ExtendedLog, config: Config, inputs: Inputs, progress: Callable[[str, int], None]) -> Gathered:
    """Read a log once, with the rows that `log.sample` would leave out.

    Raises:
        DataError: if it has no rows, none of train, or rows that prepare would refuse.
    """
    splitter = Splitter(config.log, log.schema, config.seed)
    gathered = Gathered(inputs, config.log.roles.keys, config.seed)
    whole = config.log.model_copy(update={"sample": None})
    for part in read_slices(log, splitter, config.tasks, whole, config.seed):
        gathered.add(part, *inputs.read(part))
        progress("check", part.num_read)
    if not any(gathered.rates.rows.values()):
        raise DataError("The log has no rows", where=", ".join(log.files[:3]))
    if not gathered.rates.rows["train"]:
        raise DataError("No row of the log falls into train", found=gathered.rates.rows, do="Set log.split so that it leaves rows to train on.")
    gathered.finish()
    return gathered
