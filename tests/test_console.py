import pytest

from mtrec import console
from mtrec.console import Stages


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(console, "time", clock)
    return clock


def test_elsewhere_than_on_a_terminal_each_stage_is_one_line(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Stages() as stages:
        for clock.now in (2.0, 4.0):
            stages("fit", 1000)
        clock.now = 5.0
        stages("encode", 2000)
        clock.now = 60.0  # What lies between is not the time of a stage.
        stages("train", 0)
        for clock.now in (61.0, 62.0):
            stages("train", 50)
        clock.now = 99.0
    assert capsys.readouterr().out.splitlines() == [
        "fit: 2,000 rows in 4.0 s, 500 rows per second",
        "encode: 2,000 rows in 1.0 s, 2,000 rows per second",
        "train: 100 rows in 2.0 s, 50 rows per second",
    ]


def test_nothing_done_says_nothing(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Stages():
        pass
    assert capsys.readouterr().out == ""


def test_a_stage_that_fails_is_told_all_the_same(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyError), Stages() as stages:
        clock.now = 1.0
        stages("fit", 10)
        raise KeyError
    assert capsys.readouterr().out == "fit: 10 rows in 1.0 s, 10 rows per second\n"


def test_on_a_terminal_a_bar_moves(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    from rich.console import Console

    out = io.StringIO()
    monkeypatch.setattr(console, "console", Console(file=out, force_terminal=True, width=100))
    with Stages() as stages:
        for clock.now in (1.0, 2.0):
            stages("fit", 500)
        stages("encode", 10)
    assert "fit: 1,000 rows in 2.0 s, 500 rows per second" in out.getvalue()
    assert "encode" in out.getvalue()
