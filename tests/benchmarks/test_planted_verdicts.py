"""One log of each kind of the benchmark of verdicts; the benchmark itself has ten."""

from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.parametrize(("planted", "words"), [("conflict", {"hurt"}), ("agreement", {"helped", "no evidence"})])
def test_what_was_planted_is_found(planted: str, words: set[str], tmp_path: Path) -> None:
    from benchmarks.health import PLANTED, run

    found = run(tmp_path / "log", PLANTED[planted], seed=10)
    assert found["like"]["verdict"] in words
    assert found["click"]["metric"] == "auc" and len(found["like"]["alone"]) == 5
