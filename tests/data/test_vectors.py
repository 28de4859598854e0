"""Files of vectors: what is read of them, and everything that can be wrong with them."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mtrec.data.vectors import VectorFiles
from mtrec.errors import DataError
from mtrec.schema import VectorFeature

LOG = pa.schema([("item_id", pa.int32()), ("country", pa.dictionary(pa.int32(), pa.string())), ("item_key", pa.string())])
THREE = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]


def feature(source: Any, **options: Any) -> VectorFeature:
    return VectorFeature.model_validate({"column": "item_id", "source": source if isinstance(source, list) else str(source), **options})


def write(file: Path, keys: Any, vectors: Any, key: str = "item_id", value: str = "vector") -> Path:
    pq.write_table(pa.table({key: keys, value: vectors}), file)
    return file


def read(*features: VectorFeature) -> list[tuple[pa.Array, np.ndarray]]:
    return VectorFiles(features, LOG).read()


@pytest.mark.parametrize(
    "kind",
    [pa.list_(pa.float32()), pa.list_(pa.float64(), 2), pa.large_list(pa.float64()), pa.list_(pa.float16(), 2), pa.list_(pa.int8())],
    ids=str,
)
def test_lists_of_every_kind(tmp_path: Path, kind: pa.DataType) -> None:
    values = pa.array([np.array(each, dtype=np.float16) for each in THREE], pa.list_(pa.float16())).cast(kind)
    ((keys, vectors),) = read(feature(write(tmp_path / "a.parquet", pa.array([7, 5, 2**40]), values)))
    assert keys.equals(pa.array([7, 5, 2**40], pa.int64()))
    assert vectors.dtype == np.float32 and vectors.tolist() == THREE


def test_several_files_are_one_table(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", pa.array([1], pa.int16()), THREE[:1])
    write(tmp_path / "b.parquet", pa.array([2, 3], pa.int64()), pa.array(THREE[1:], pa.list_(pa.float32(), 2)))
    write(tmp_path / "c.parquet", pa.array([], pa.int64()), pa.array([], pa.list_(pa.float64())))
    ((keys, vectors),) = read(feature(tmp_path))
    assert keys.to_pylist() == [1, 2, 3] and vectors.tolist() == THREE


def test_text_is_one_type_encoded_or_not_and_columns_have_names_of_their_own(tmp_path: Path) -> None:
    file = write(tmp_path / "a.parquet", pa.array(["AT", "JP"]), [[1, 2, 3], [4, 5, 6]], key="code", value="embedding")
    options = {"key": "code", "value": "embedding"}
    for column in ("country", "item_key"):
        ((keys, vectors),) = read(feature(file, column=column, **options))
        assert keys.to_pylist() == ["AT", "JP"] and vectors.tolist() == [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]


def test_the_digest_is_that_of_log_and_bytes(tmp_path: Path) -> None:
    one = feature(write(tmp_path / "a.parquet", [1, 2, 3], THREE))
    digest = VectorFiles([one], LOG).digest("log")
    assert VectorFiles([], LOG).digest("log") == "log"
    assert VectorFiles([one], LOG).digest("log") == digest != VectorFiles([one], LOG).digest("other log")
    write(tmp_path / "a.parquet", [1, 2, 3], [*THREE[:2], [5.0, 7.0]])
    assert VectorFiles([one], LOG).digest("log") != digest


def test_all_faults_are_in_one_report(tmp_path: Path) -> None:
    good = [[1.0, 2.0]] * 4
    features = [
        feature(tmp_path / "nowhere"),
        feature(write(tmp_path / "key.parquet", [1, 2, 3, 4], good, key="id")),
        feature(write(tmp_path / "twice.parquet", [1, 2, 2, 1], good)),
        feature(write(tmp_path / "widths.parquet", [1, 2, 3, 4], [[1.0], [1.0, 2.0], [], None])),
        feature(write(tmp_path / "numbers.parquet", [1, 2, 3, 4], [[1.0, np.nan], [1.0, None], [np.inf, 1.0], [1e39, 1.0]])),
        feature(write(tmp_path / "text.parquet", ["1", "2", "3", "4"], good)),
        feature(write(tmp_path / "floats.parquet", [1.0, 2.0, 3.0, 4.0], good)),
        feature(write(tmp_path / "null.parquet", [1, None, 3, None], good)),
        feature(write(tmp_path / "plain.parquet", [1, 2, 3, 4], [1.0, 2.0, 3.0, 4.0])),
        feature(write(tmp_path / "large.parquet", pa.array([1, 2**63], pa.uint64()), good[:2])),
        feature(write(tmp_path / "fine.parquet", [1, 2, 3, 4], good)),
        feature([str(tmp_path / "fine.parquet"), str(write(tmp_path / "wider.parquet", [5], [[1.0, 2.0, 3.0]]))]),
        feature(write(tmp_path / "empty.parquet", pa.array([], pa.int64()), pa.array([], pa.list_(pa.float32())))),
    ]
    (tmp_path / "damaged.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(DataError) as caught:
        VectorFiles([*features, feature(tmp_path / "damaged.parquet")], LOG)  # One has no file: then the others are read at once.
    for fault in (
        f"features.vectors.0: there is no file at {tmp_path / 'nowhere'}",
        f"features.vectors.1: {tmp_path / 'key.parquet'} lacks 'item_id', or has it twice; it has id, vector",
        f"features.vectors.2: 2 keys in the files at {tmp_path / 'twice.parquet'} occur again",
        "features.vectors.3: {}: the vectors in 'vector' differ in width, from 0 to 2".format(tmp_path / "widths.parquet"),
        "features.vectors.4: {}: 4 vectors in 'vector' hold numbers that are null, not finite".format(tmp_path / "numbers.parquet"),
        "features.vectors.5: {}: the key 'item_id' is string, the column 'item_id' of the log int64".format(tmp_path / "text.parquet"),
        "features.vectors.6: {}: the key 'item_id' is double, the column 'item_id' of the log int64".format(tmp_path / "floats.parquet"),
        "features.vectors.7: {}: 2 rows have no key 'item_id'".format(tmp_path / "null.parquet"),
        "features.vectors.8: {}: 'vector' is double, not lists of numbers".format(tmp_path / "plain.parquet"),
        "features.vectors.9: {}: the key 'item_id'".format(tmp_path / "large.parquet"),
        "features.vectors.11: the files at",
        "have vectors of the widths 2, 3",
        "features.vectors.12: the files at",
        "features.vectors.13: The file is damaged",
    ):
        assert fault in str(caught.value), fault
    assert "features.vectors.10" not in str(caught.value)


def test_faults_of_files_that_are_there_wait_for_the_reading(tmp_path: Path) -> None:
    files = VectorFiles([feature(write(tmp_path / "a.parquet", [1, 1], THREE[:2]))], LOG)
    with pytest.raises(DataError, match="1 keys .* occur again"):
        files.read()
