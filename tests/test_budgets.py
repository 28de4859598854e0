"""The size of files: half hold at most 100 lines, nine tenths at most 200, none more than 400."""

import statistics
from pathlib import Path

ROOT = Path(__file__).parents[1]


def sizes() -> dict[str, int]:
    found = [path for folder in ("mtrec", "pipelines") for path in (ROOT / folder).rglob("*.py") if path.name != "__init__.py"]
    return {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in found}


def test_no_file_is_long() -> None:
    assert {name: lines for name, lines in sizes().items() if lines > 400} == {}


def test_half_of_the_files_are_short() -> None:
    assert statistics.median(sizes().values()) <= 100


def test_nine_tenths_of_the_files_are_of_a_fair_length() -> None:
    assert statistics.quantiles(sizes().values(), n=10)[-1] <= 200


def test_a_job_only_composes() -> None:
    assert {name: lines for name, lines in sizes().items() if name.startswith("mtrec/jobs/") and lines > 60} == {}
