"""Files of vectors that features look up: read once, by prepare; all faults in one report."""

import hashlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mtrec.data.files import add_bytes, find_files, read_table
from mtrec.data.joined import key_type
from mtrec.errors import DataError
from mtrec.schema import VectorFeature

__all__ = ["VectorFiles"]

Pair = tuple[pa.Array, NDArray[np.float32]]


class VectorFiles:
    """The files of a configuration's vector features.

    Args:
        schema: of the log, for the types of its id columns.

    Raises:
        DataError: if a feature has no file; then with all that is wrong with the others.
    """

    def __init__(self, features: Sequence[VectorFeature], schema: pa.Schema) -> None:
        self._features, self._schema = features, schema
        self._files = [_files(feature) for feature in features]
        if not all(self._files):
            self.read()

    def digest(self, of_log: str) -> str:
        """SHA-256 over the digest of a log and the bytes of all files; that of the log itself where there are none."""
        if not self._features:
            return of_log
        total = hashlib.sha256(of_log.encode())
        for file in (file for files in self._files for file in files):
            add_bytes(total, file)
        return total.hexdigest()

    def read(self) -> list[Pair]:
        """For each feature its ids, int64 or text, each once, and their vectors [ids, width].

        Raises:
            DataError: naming everything that is wrong with any of them.
        """
        found: list[Pair] = []
        faults: list[str] = []
        for index, (feature, files) in enumerate(zip(self._features, self._files, strict=True)):
            own = [] if files else [f"there is no file at {feature.source}"]
            log_type = key_type(self._schema.field(feature.column).type)
            parts = [_read(file, feature, log_type, own) for file in files]
            if not own:
                found.append(_joined([part for part in parts if part is not None], feature, own))
            faults += [f"features.vectors.{index}: {fault}" for fault in own]
        if faults:
            raise DataError("Vectors cannot be used", found="; ".join(faults), do="Mend the files, or the features of the configuration.")
        return found


def _files(feature: VectorFeature) -> list[str]:
    try:
        return find_files(feature.source)
    except DataError:
        return []  # Told with all other faults.


def _read(file: str, feature: VectorFeature, log_type: pa.DataType, faults: list[str]) -> Pair | None:
    try:
        table = read_table(file)
    except DataError as error:
        faults.append(str(error))
        return None
    key, value = feature.key or feature.column, feature.value
    missing = [name for name in (key, value) if table.column_names.count(name) != 1]
    if missing:
        faults.append(f"{file} lacks {' and '.join(map(repr, missing))}, or has it twice; it has {', '.join(table.column_names)}")
        return None
    keys, lists = table[key], table[value].combine_chunks()
    before = len(faults)
    if log_type != pa.null() and key_type(keys.type) != log_type:
        faults.append(f"{file}: the key {key!r} is {keys.type}, the column {feature.column!r} of the log {log_type}")
    elif keys.null_count:
        faults.append(f"{file}: {keys.null_count} rows have no key {key!r}")
    if not _holds_numbers(lists.type):
        faults.append(f"{file}: {value!r} is {lists.type}, not lists of numbers")
        return None
    widths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    if len(lists) and (widths.min() != widths.max() or not widths[0]):
        faults.append(f"{file}: the vectors in {value!r} differ in width, from {widths.min()} to {widths.max()}, or are empty")
        return None
    flat = pc.list_flatten(lists).cast(pa.float32(), safe=False).to_numpy(zero_copy_only=False)
    vectors = np.asarray(flat, dtype=np.float32).reshape(len(lists), int(widths[0]) if len(lists) else 0)
    num_bad = int((~np.isfinite(vectors)).any(axis=1).sum())
    if num_bad:
        faults.append(f"{file}: {num_bad} vectors in {value!r} hold numbers that are null, not finite, or too large for 32 bits")
    if len(faults) > before:
        return None
    try:
        return keys.cast(key_type(keys.type)).combine_chunks(), vectors
    except pa.ArrowInvalid as error:
        faults.append(f"{file}: the key {key!r}: {error}")
        return None


def _joined(parts: list[Pair], feature: VectorFeature, faults: list[str]) -> Pair:
    """The vectors of all files of a feature."""
    parts = [part for part in parts if len(part[0])] or parts[:1]
    widths = sorted({vectors.shape[1] for _, vectors in parts})
    keys = pa.chunked_array([each for each, _ in parts]).combine_chunks()
    num_twice = len(keys) - len(pc.unique(keys))
    if not len(keys):
        faults.append(f"the files at {feature.source} have no rows")
    if num_twice:
        faults.append(f"{num_twice} keys in the files at {feature.source} occur again")
    if len(widths) > 1:
        faults.append(f"the files at {feature.source} have vectors of the widths {', '.join(map(str, widths))}")
        return parts[0]
    return keys, np.concatenate([vectors for _, vectors in parts])


def _holds_numbers(found: pa.DataType) -> bool:
    kinds = pa.types
    is_list = kinds.is_list(found) or kinds.is_large_list(found) or kinds.is_fixed_size_list(found)
    return bool(is_list and (kinds.is_floating(found.value_type) or kinds.is_integer(found.value_type)))
