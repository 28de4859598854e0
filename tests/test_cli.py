"""The command line: verbs, exit codes, and what is said where."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).parents[1]
Call = Callable[..., tuple[int, str, str]]


def process(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True)


def test_help_is_quick_and_loads_neither_torch_nor_torchrec() -> None:
    code = """
import sys
from mtrec.cli import main

sys.argv = ["mtrec", "--help"]
try:
    main()
finally:
    print(sorted({"torch", "torchrec"} & set(sys.modules)))
"""
    started = time.perf_counter()
    done = process("-c", code)
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "[]"
    assert time.perf_counter() - started < 1.5 * 4  # Four times what a free core takes: tests share theirs.
    for verb in ("init", "check", "prepare", "train", "backtest", "evaluate", "predict", "export", "check-artifact", "list", "doctor"):
        assert verb in done.stdout


@pytest.mark.benchmark
def test_help_takes_less_than_a_second_and_a_half() -> None:
    process("-m", "mtrec", "--help")
    started = time.perf_counter()
    process("-m", "mtrec", "--help")
    assert time.perf_counter() - started < 1.5


def test_as_a_module_an_error_is_one_paragraph_and_its_code() -> None:
    done = process("-m", "mtrec", "list", "architecture")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: ") and len(done.stderr.splitlines()) == 1
    assert "architectures" in done.stderr and "Traceback" not in done.stderr


def test_importing_mtrec_loads_no_torch() -> None:
    assert process("-c", "import sys, mtrec; assert 'torch' not in sys.modules; print(mtrec.__version__)").returncode == 0


def test_load_artifact_needs_torch_alone() -> None:
    blocked = ("torchrec", "fbgemm_gpu", "pandas", "pyarrow", "polars", "mlflow", "pydantic", "yaml", "sklearn", "rich", "typer", "matplotlib")
    code = f"""
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked}:
            raise ImportError(f"{{name}} is blocked")

sys.meta_path.insert(0, Block())
from mtrec import load_artifact
try:
    load_artifact("nowhere")
except ValueError as error:
    print(error)
"""
    done = process("-c", code)
    assert done.returncode == 0, done.stderr
    assert "nowhere" in done.stdout


def test_a_name_that_mtrec_does_not_have() -> None:
    import mtrec

    with pytest.raises(AttributeError, match="no_such"):
        mtrec.no_such  # noqa: B018


def assert_paragraph(told: tuple[int, str, str], code: int, *texts: str) -> None:
    found, _, stderr = told
    assert found == code, stderr
    assert stderr.startswith("error: ") and "\n\n" not in stderr.strip() and "Traceback" not in stderr
    for text in texts:
        assert text in stderr


def test_configuration_faults_end_with_2(tiny: Any, trained: Any, call: Call) -> None:
    assert_paragraph(call("train", tiny.folder / "never-written.yaml"), 2, "never-written.yaml")
    assert_paragraph(call("train", tiny.file("faulty"), "training.epoch=3", "model.embedding_dim=5"), 2, "training.epoch:", "epochs", "multiple of 4")
    assert_paragraph(call("train", tiny.file("trained"), "training.epochs=9"), 2, "training.epochs was 2, is 9")
    assert_paragraph(call("evaluate", trained.path, "--split", "holdout"), 2, "holdout")
    assert_paragraph(call("evaluate", trained.path, "--baseline", "catboost"), 2, "catboost")
    assert_paragraph(call("export", trained.path, "--format", "onnx"), 2, "onnx")
    assert_paragraph(call("list", "layers"), 2, "layers")


def test_data_faults_end_with_3(tiny: Any, trained: Any, call: Call, tmp_path: Path) -> None:
    assert_paragraph(call("prepare", tiny.file("faulty"), f"log.source={tmp_path}/none.parquet"), 3, "none.parquet")
    pq.write_table(pq.read_table(tiny.log).drop_columns(["price"]), tmp_path / "less.parquet")
    assert_paragraph(call("predict", trained.path, tmp_path / "less.parquet", tmp_path / "out.parquet"), 3, "price")
    assert not (tmp_path / "out.parquet").exists()


def test_bundle_faults_end_with_4(tiny: Any, trained: Any, call: Call, tmp_path: Path) -> None:
    for verb in ("evaluate", "export"):
        assert_paragraph(call(verb, tmp_path / "none"), 4, "none")
    assert_paragraph(call("export", trained.path, "--out", tmp_path), 4, "exists already")
    broken = tiny.folder / "runs" / "broken-bundle"
    shutil.copytree(trained.path, broken)
    (max((broken / "checkpoints").iterdir()) / "tables-00000.safetensors").write_bytes(b"")
    assert_paragraph(call("evaluate", broken), 4, "tables-00000.safetensors", "--from")
    assert_paragraph(call("check-artifact", tmp_path), 4)


def test_a_training_fault_ends_with_5(tiny: Any, call: Call) -> None:
    assert_paragraph(call("train", tiny.file("infinite"), "training.optimizers.dense.lr=1.0e+30"), 5, "not finite", "step")


def test_what_nobody_expected_ends_with_1(trained: Any, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("first line\n\nsecond line")

    monkeypatch.setattr("mtrec.jobs.load.load_run", fail)
    assert_paragraph(call("evaluate", trained.path), 1, "RuntimeError: first line second line", "--debug")


def test_debug_shows_the_traceback_and_keeps_the_code(tiny: Any, call: Call) -> None:
    code, _, stderr = call("train", tiny.folder / "never-written.yaml", "--debug")
    assert code == 2 and "Traceback" in stderr and stderr.rstrip().splitlines()[-1].startswith("error: ")


def test_wrong_usage_ends_with_2(call: Call) -> None:
    for words in (("train",), ("no-such-verb",), ("evaluate", "run", "--no-such-option"), ()):
        assert call(*words)[0] == 2, words


def test_the_whole_journey(tiny: Any, call: Call, tmp_path: Path) -> None:
    file = tiny.file("journey", run_dir=str(tmp_path / "runs" / "journey"))
    run = tmp_path / "runs" / "journey"
    code, out, err = call("prepare", file)
    assert code == 0 and "train 1,000, valid 250, test 250 rows" in out, err
    code, out, err = call("train", file, "training.epochs=1")
    assert code == 0 and "rows per second" in out and "click" in out and "report.html" in out, err
    assert "fit:" not in out  # It is prepared already.
    again = call("train", file, "training.epochs=1")
    assert again[0] == 0 and "rows per second" not in again[1] and "click" in again[1]
    code, out, err = call("evaluate", run, "--split", "valid")
    assert code == 0 and "Split valid" in out, err
    assert json.loads((run / "report.json").read_text())["split"] == "valid"
    code, out, err = call("evaluate", run, "--log", tiny.log)
    assert code == 0 and json.loads((run / "report.json").read_text())["tasks"]["click"]["rows"] == 1500, err
    code, out, err = call("predict", run, tiny.log, tmp_path / "scores.parquet")
    assert code == 0 and "1,500 rows" in out, err
    code, out, err = call("export", run)
    assert code == 0 and "agree within" in out and "sha256" in out, err
    code, out, err = call("predict", run / "export", tiny.log, tmp_path / "artifact.parquet")
    assert code == 0, err
    one, other = (pq.read_table(tmp_path / name)["click"].to_numpy() for name in ("scores.parquet", "artifact.parquet"))
    assert abs(one - other).max() <= 1e-6


def test_figures_are_shown_before_a_store_is_waited_for(tiny: Any, trained: Any, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    run = shutil.copytree(trained.path, tiny.folder / "runs" / "shown")
    monkeypatch.setattr("mtrec.jobs.tell.tell", lambda *_: print("told"))
    code, out, err = call("evaluate", run, "--search-score")
    assert code == 0 and out.index("report.html") < out.index("score: ") < out.index("told"), err


def test_from_is_an_option(tiny: Any, call: Call) -> None:
    file = tiny.file("from", training={"epochs": 2, "batch_size": 128, "threads": 1, "early_stopping": None, "checkpoints": {"keep": 9}})
    assert call("train", file)[0] == 0
    state = tiny.state("from")
    first = min((tiny.folder / "runs/from/checkpoints").iterdir())
    assert_paragraph(call("train", file, "--from", tiny.folder), 4, str(first))
    code, _, err = call("train", file, "--from", first)
    assert code == 0, err
    assert tiny.state("from") == state


def test_parts_are_listed(call: Call) -> None:
    code, out, _ = call("list", "architectures")
    assert code == 0 and "mmoe" in out and "num_experts" in out


def test_doctor_gives_its_code(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    for code in (0, 1):
        monkeypatch.setattr("mtrec.jobs.doctor.doctor", lambda code=code: code)
        assert call("doctor")[0] == code


def test_init_says_where(tiny: Any, call: Call, tmp_path: Path) -> None:
    code, out, err = call("init", tiny.log, "--time", "ts", "--labels", "is_click", "--output", tmp_path / "new.yaml")
    assert code == 0 and "new.yaml" in out, err
    assert (tmp_path / "new.yaml").is_file()
