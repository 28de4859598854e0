"""The model card: what a report says, in Markdown that hostile names cannot break."""

from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from mtrec.config import Config, parse
from mtrec.evaluation.model_card import model_card, plain, write_model_card
from tests.evaluation.test_report import Page

HOSTILE = ["a|b", "<script>x</script>", "_[link](http://a)_", "**bold** `code`", "two\nlines", "back\\slash |", "# $x$ &amp; ~~gone~~"]


def config(label: str = "is_buy") -> Config:
    return parse(
        {
            "name": "shop-mmoe",
            "seed": 7,
            "log": {"source": "log.parquet", "roles": {"time": "ts"}, "split": {"by": "time", "valid_from": "2017-10-01", "test_from": "2017-11-01"}},
            "features": {"numbers": ["price"]},
            "tasks": {"click": {"label": "is_click"}, "buy": {"label": label, "given": "click"}, "spend": {"label": "spend", "kind": "regression"}},
            "model": {"architecture": {"kind": "mmoe", "num_experts": 3}},
        }
    )


def report(name: str = "t0") -> dict[str, Any]:
    click = {"kind": "binary", "rows": 1200, "positives": 30, "auc": {"value": 0.71, "low": 0.7, "high": 0.72}, "logloss": {"value": 0.3}}
    click |= {"predicted_over_actual": {"value": 1.25, "low": 1.1, "high": 1.4}, "gauc_macro": {"value": None, "reason": "void: history.past"}}
    click["slices"] = {"tab": [{"value": f"t{place}" if place else name, "rows": 100, "auc": {"value": 0.5 + place / 10}} for place in range(5)]}
    click["calibration"] = {"kind": "platt", "fitted_on": "valid", "rows": 9}
    buy = {"kind": "binary", "rows": 0, "positives": 0, "auc": {"value": None, "reason": "no rows"}, "logloss": {"value": None, "reason": "no rows"}}
    moved = {"psi": 0.4, "chance": 0.01}
    return {
        "format": 1,
        "split": "test",
        "dataset_digest": "ab12",
        "weights": "ema",
        "features_see": {"past": "It sees the feedback of yesterday."},
        "tasks": {"click": click, "buy": buy, "spend": {"kind": "regression", "rows": 9, "rmse": {"value": 12.5}}},
        "run": {
            "parameters": {"tables": 12345, "dense": 678},
            "rows": {"train": 1000, "valid": 100, "test": 1200},
            "labels": {"click": {split: {"known": 900.0, "mean": 0.025} for split in ("train", "valid", "test")}},
            "environment": {"torch": "2.9"},
            "judged_times": ["2017-11-01", "2017-11-30"],
        },
        "inputs": {
            "rows": 1200,
            "train_rows": 1000,
            "ids": [],
            "numbers": [{"name": f"n{place}", **moved} for place in range(4)] + [{"name": "still", "psi": 0.01, "chance": 0.1}],
        },
        "health": {"verdicts": [{"sentence": "Expert 2 is dead."}, {"sentence": name}]},
        "baselines": {"lightgbm": {"tasks": {"click": {"auc": {"value": 0.6543}}}}},
    }


def sections(text: str) -> dict[str, str]:
    return {part.partition("\n")[0]: part.partition("\n")[2].strip() for part in text.split("\n## ")}


def test_each_part_says_what_the_report_says() -> None:
    found = sections(model_card(report(), config()))
    parts = ["Model", "Data", "Metrics", "Slices", "Calibration", "Verdicts", "What the features see", "Limits", "Use", "Made with"]
    assert list(found) == ["# shop-mmoe", *parts]
    assert '- Architecture: mmoe {"num\\_experts": 3,' in found["Model"] and "12,345 in tables, 678 in dense layers" in found["Model"]
    assert "| buy | binary | is\\_buy | click |" in found["Model"]
    assert (
        "- Judged: test, 2017-11-01 to 2017-11-30" in found["Data"] and "train before 2017-10-01, valid before 2017-11-01, then test" in found["Data"]
    )
    assert "| train | 1,000 | 0.0250 of 900 |" in found["Data"]
    assert "| click | 1,200 | 30 | 0.7100 (0.7000 to 0.7200) | 0.3000 | – | 0.6543 |" in found["Metrics"]
    assert "| spend | rmse | 12.5000 |" in found["Metrics"]
    assert [line.split(" | ")[1] for line in found["Slices"].splitlines()[2:]] == ["tab = t0", "tab = t1", "tab = t2"]
    assert "| click | 1.2500 (1.1000 to 1.4000) | – | – | platt, fitted on valid |" in found["Calibration"]
    assert found["Verdicts"] == "- Expert 2 is dead.\n- t0"
    assert found["What the features see"] == "- past: It sees the feedback of yesterday."
    assert found["Limits"].startswith("- Intervals cover the choice of judged rows only, not that of the seed of training.\n")
    assert "- Undefined: click gauc\\_macro: void: history.past" in found["Limits"]
    assert "- Undefined: buy auc, buy logloss: no rows" in found["Limits"]
    assert (
        found["Limits"].count("stability index 0.400") == 3 and "and 1 more inputs have moved" in found["Limits"] and "still" not in found["Limits"]
    )
    assert "Outputs: click, buy.conditional, buy.joint, spend." in found["Use"]
    assert found["Made with"] == "- seed: 7\n- torch: 2.9"


def test_what_a_report_lacks_is_left_out() -> None:
    small = {"split": "test", "tasks": {"spend": {"kind": "regression", "rows": 9, "rmse": {"value": 12.5}}}}
    found = sections(model_card(small, config()))
    assert list(found) == ["# shop-mmoe", "Model", "Data", "Metrics", "Limits", "Use", "Made with"]
    assert "Parameters" not in found["Model"] and "Undefined" not in found["Limits"]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_names_are_text_and_nothing_else(hostile: str) -> None:
    def page(name: str) -> Page:
        return Page(MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(model_card(report(name), config(name))))

    found, tame = page(hostile), page("tame")
    assert found.open == [] and found.tags == tame.tags
    assert found.text.count(" ".join(hostile.split())) == 3  # The label, the slice, and the sentence.


def test_the_file_of_a_run(trained: Any, loaded: Any, tmp_path: Path) -> None:
    import json

    report = json.loads(trained.report_file.read_text())
    text = (trained.path / "model_card.md").read_text()
    assert text == model_card(report, loaded.config)
    live = sum(table.numel() for table in loaded.model.embeddings.tables().values())
    assert report["run"]["parameters"]["tables"] == live and f"{live:,} in tables" in text
    assert report["run"]["judged_times"] == ["2023-11-15", "2023-11-15"]
    write_model_card(tmp_path, report, loaded.config)
    assert (tmp_path / "model_card.md").read_text() == text
    assert plain("a_b\n|") == "a\\_b \\|"


def test_made_with_is_what_the_run_was_trained_with(loaded: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    from mtrec.jobs.facts import facts_of
    from mtrec.training.environment import environment
    from mtrec.training.run import RunDirectory

    assert facts_of(loaded, None)["run"]["environment"] == environment()
    moved = loaded._replace(run=RunDirectory(tmp_path))
    for name in ("config.yaml", "environment.json"):
        shutil.copyfile(loaded.run.path / name, tmp_path / name)
    (tmp_path / "environment.json").write_text('{"torch": "1.0"}')
    assert "- torch: 1.0" in sections(model_card(report() | facts_of(moved, None), loaded.config))["Made with"]
    (tmp_path / "environment.json").unlink()
    assert sections(model_card(report() | facts_of(moved, None), loaded.config))["Made with"] == "- seed: 0\n- versions: unknown"


def test_the_span_of_times() -> None:
    import pyarrow as pa

    from mtrec.evaluation.days import first_and_last

    assert first_and_last(pa.table({"ts": ["2017-11-02", "2017-11-01"]}), config()) == []  # Text is no time.
    assert first_and_last(pa.table({"ts": pa.array([20_000, None, 19_000], pa.date32())}), config()) == ["2022-01-08", "2024-10-04"]
    assert first_and_last(pa.table({"ts": pa.array([2**61, 5])}), config()) == ["5", str(2**61)]
    assert first_and_last(pa.table({"ts": pa.array([None], pa.int64())}), config()) == []
    assert first_and_last(pa.table({"other": [1]}), config()) == [] and first_and_last(None, config()) == []
