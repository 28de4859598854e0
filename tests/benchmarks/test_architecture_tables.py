"""The table of compared architectures, from rows that were made up."""

import math

import pytest

from benchmarks.architecture_tables import Log, Result, chosen_rate, cost_of_unrelated, table

LOG = Log("demo", "complete_journey", "data/log", ("buy", "multi"), "auc")


def result(row: str, seed: int, value: float, *, rate: float = 0.001, valid: float = 0.5, metric: str = "auc") -> Result:
    test = {f"buy/{metric}": value, f"multi/{metric}": value + 0.1, "buy/logloss": 0.3}
    return Result("demo", row, rate, seed, "digest", {f"buy/{metric}": valid, f"multi/{metric}": valid}, test, 3, 2.0, 30.0, 1234)


def cells(text: str, row: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {row} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_two_architectures() -> None:
    results = [result("shared_bottom", 0, 0.70), result("shared_bottom", 1, 0.72), result("mmoe", 0, 0.71), result("mmoe", 1, 0.75)]
    text = table(results, LOG, [0, 1], ["shared_bottom", "mmoe"])
    # Differences .01 and .03: mean .02, deviation sqrt(2) / 100, Student's t of one degree 12.706.
    half = 12.7062 * math.sqrt(2) / 100 / math.sqrt(2)
    assert cells(text, "mmoe") == [
        "mmoe", "0.7300", "0.8300", f"0.7800 ± {2 * half:.4f}", "", f"+0.0200 ± {half:.4f}", "2.0", "3.0", "1,234", "0.001",
    ]  # fmt: skip
    assert cells(text, "shared_bottom")[4:6] == [f"-0.0200 ± {half:.4f}", ""]
    assert "Shared bottom is ahead of none." in text
    assert "logloss" not in text


def test_where_shared_bottom_wins() -> None:
    results = [result(row, seed, value + seed / 100) for row, value in (("shared_bottom", 0.7), ("mmoe", 0.69)) for seed in (0, 1)]
    results += [result("ple", 0, 0.60), result("ple", 1, 0.80), result("home", 0, 0.4), result("home", 1, 0.79)]
    text = table(results, LOG, [0, 1], ["shared_bottom", "mmoe", "ple", "home"])
    assert "Shared bottom is ahead of mmoe (beyond the interval), ple, home." in text


def test_of_a_loss_less_is_better() -> None:
    log = LOG._replace(metric="rmse")
    results = [result(row, seed, value, metric="rmse") for row, value in (("shared_bottom", 0.7), ("mmoe", 0.6)) for seed in (0, 1)]
    assert "ahead of none" in table(results, log, [0, 1], ["shared_bottom", "mmoe"])
    assert (
        chosen_rate([result("mmoe", 0, 0, rate=0.1, valid=0.4, metric="rmse"), result("mmoe", 0, 0, rate=0.2, valid=0.3, metric="rmse")], log) == 0.2
    )


def test_the_rate_is_chosen_on_valid_with_the_first_seed() -> None:
    good, bad = result("mmoe", 0, 0.1, rate=0.002, valid=0.9), result("mmoe", 0, 0.9, rate=0.001, valid=0.8)
    assert chosen_rate([bad, good], LOG) == 0.002
    assert chosen_rate([bad, good._replace(valid=bad.valid)], LOG) == 0.001
    other = [result("mmoe", 1, 0.2, rate=0.002), result("mmoe", 1, 0.9, rate=0.001, valid=0.99)]
    assert cells(table([bad, good, *other], LOG, [0, 1], ["mmoe"]), "mmoe")[1] == "0.1500"


@pytest.mark.parametrize("results", [[], [result("mmoe", 0, 0.7)], [result("mmoe", 1, 0.7)]])
def test_an_architecture_with_a_seed_missing_has_no_line(results: list[Result]) -> None:
    whole = [result("ple", seed, 0.7) for seed in (0, 1)]
    assert "| ple |" in table([*whole, *results], LOG, [0, 1], ["mmoe", "ple"])
    assert "| mmoe |" not in table([*whole, *results], LOG, [0, 1], ["mmoe", "ple"])
    assert table(results, LOG, [0, 1], ["mmoe"]) == ""


def test_what_it_costs_that_tasks_are_not_related() -> None:
    related, unrelated = (LOG._replace(name=name, metric="rmse") for name in ("sine 1.0", "sine 0.0"))
    losses = {("mmoe", 1): [0.1, 0.2, 0.3], ("mmoe", 0): [0.2, 0.2, 0.3], ("shared_bottom", 1): [0.1, 0.1, 0.1], ("shared_bottom", 0): [0.3, 0.4]}
    results = [
        result(row, seed, value, metric="rmse")._replace(log=f"sine {correlation}.0")
        for (row, correlation), values in losses.items()
        for seed, value in enumerate(values)
    ]
    text = cost_of_unrelated(results, related, unrelated, 0, ["shared_bottom", "mmoe", "ple"])
    # Costs of mmoe .1, 0, 0; of shared bottom, by the two seeds that both logs have, .2 and .3, which is .1 and .3 beyond mmoe's.
    own, beyond = (12.7062 * math.sqrt(spread) / math.sqrt(2) for spread in (0.005, 0.02))
    assert cells(text, "shared_bottom") == ["shared_bottom", "2", f"+0.2500 ± {own:.4f}", f"+0.2000 ± {beyond:.4f}"]
    assert cells(text, "mmoe") == ["mmoe", "3", f"+0.0333 ± {4.3027 * 0.1 / 3:.4f}", ""]
    assert "ple" not in text and cost_of_unrelated([], related, unrelated, 0, ["mmoe"]) == ""
