"""A run that is stopped or killed at any moment ends bit for bit like one that was not."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mtrec.errors import BundleError, ConfigError

SCHEDULE = ("training.schedule={warmup_steps: 3, decay: cosine, floor: 0.1}", "training.early_stopping=null")
EMA = {"average": (), "none": ("training.ema=null",), "tables": ("training.ema={decay: 0.9, tables: true}",)}
OPTIMIZERS = [("rowwise_adagrad", "adamw", "average"), ("adagrad", "adam", "tables"), ("sgd", "adagrad", "none")]
LONG = ("training.epochs=25", "training.early_stopping=null", "training.checkpoints.every_steps=3", "training.batch_size=100")


def overrides_of(tables: str, dense: str, ema: str) -> tuple[str, ...]:
    kinds = (f"training.optimizers.embeddings.kind={tables}", f"training.optimizers.dense={{kind: {dense}, lr: 0.01, weight_decay: 0.01}}")
    return (*kinds, *SCHEDULE, *EMA[ema])


@pytest.mark.parametrize(("tables", "dense", "ema"), OPTIMIZERS)
def test_stopped_in_and_at_the_end_of_an_epoch(tiny: Any, tables: str, dense: str, ema: str) -> None:
    overrides = overrides_of(tables, dense, ema)
    tiny.train(f"whole-{tables}", *overrides)
    tiny.train(f"broken-{tables}", *overrides, stop_at=3)
    tiny.train(f"broken-{tables}", *overrides, stop_at=5)  # the last step of the first epoch
    tiny.train(f"broken-{tables}", *overrides, stop_at=1)
    tiny.train(f"broken-{tables}", *overrides)
    assert tiny.state(f"broken-{tables}") == tiny.state(f"whole-{tables}")


def test_stopped_while_an_epoch_is_judged(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from mtrec.jobs import train as job

    real = job.score

    def interrupted(*arguments: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return real(*arguments)

    tiny.train("whole-judged", *SCHEDULE)
    before = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        patch.setattr(job, "score", interrupted)
        with pytest.raises(SystemExit, match="143"):
            tiny.train("broken-judged", *SCHEDULE)
    assert signal.getsignal(signal.SIGTERM) is before
    assert json.loads((tiny.folder / "runs/broken-judged/checkpoints/step-000000008/state.json").read_text())["epoch"] == 1
    tiny.train("broken-judged", *SCHEDULE)
    assert tiny.state("broken-judged") == tiny.state("whole-judged")


def test_two_runs_with_one_seed_are_equal_and_with_another_are_not(tiny: Any, trained: Any) -> None:
    tiny.train("twin", "training.early_stopping=null")
    tiny.train("other-seed", "training.early_stopping=null", "seed=1")
    assert tiny.state("twin") == tiny.state("trained")
    assert tiny.state("other-seed")["dense-00000.safetensors"] != tiny.state("trained")["dense-00000.safetensors"]
    assert (tiny.folder / "runs/twin/report.json").read_bytes() == trained.report_file.read_bytes()


def test_a_finished_run_is_left_alone(tiny: Any, trained: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mtrec.jobs.train.prepare", lambda *_: pytest.fail("it was prepared again"))
    before = {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in trained.path.rglob("*") if path.is_file()}
    assert tiny.train("trained", "training.early_stopping=null").path == trained.path
    assert {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in trained.path.rglob("*") if path.is_file()} == before


def test_a_run_killed_before_its_report_writes_it(tiny: Any) -> None:
    run = tiny.train("no-report", "training.epochs=1")
    report, state = run.report_file.read_bytes(), tiny.state("no-report")
    run.report_file.unlink()
    tiny.train("no-report", "training.epochs=1")
    assert run.report_file.read_bytes() == report
    assert tiny.state("no-report") == state


def test_a_changed_configuration_is_refused_with_both_values(tiny: Any, trained: Any) -> None:
    with pytest.raises(ConfigError) as error:
        tiny.train("trained", "training.epochs=7", "training.early_stopping=null", "model.towers.hidden=[4]")
    assert "training.epochs was 2, is 7" in str(error.value)
    assert "model.towers.hidden was [8], is [4]" in str(error.value)


def test_tasks_in_another_order_are_another_configuration(tiny: Any, trained: Any) -> None:
    from mtrec.jobs.train import train

    tasks = tiny.values("trained")["tasks"]
    turned = {name: tasks[name] for name in ("seconds", "click", "buy")}
    with pytest.raises(ConfigError, match=r'task_order was ."click", "buy", "seconds"., is ."seconds", "click"'):
        train(tiny.config("trained", "training.early_stopping=null", tasks=turned))


def test_tasks_in_another_order_have_a_prepared_log_of_their_own(tiny: Any, trained: Any) -> None:
    tasks = tiny.values("trained")["tasks"]
    from mtrec.jobs.load import load_run
    from mtrec.jobs.train import train

    run = train(tiny.config("seconds-first", tasks={name: tasks[name] for name in ("seconds", "click", "buy")}))
    assert load_run(run.path).prepared.path != load_run(trained.path).prepared.path


def test_before_its_first_checkpoint_a_configuration_may_be_mended(tiny: Any) -> None:
    from mtrec.errors import TrainingError

    with pytest.raises(TrainingError):
        tiny.train("mended", "training.optimizers.dense.lr=1.0e+30", "training.epochs=1")
    (tiny.folder / "runs/mended/mlflow_run_id").write_text("of the first attempt")
    run = tiny.train("mended", "training.epochs=1")
    assert run.config().training.optimizers.dense.lr == 1e-3
    assert not (run.path / "mlflow_run_id").exists()


def test_a_run_does_not_go_on_with_another_log(tiny: Any, tmp_path: Path) -> None:
    from mtrec.data.synthetic import write

    log = tmp_path / "log.parquet"
    write(log, 1500)
    tiny.train("changed-log", f"log.source={log}", stop_at=2)
    write(log, 1500, seed=1)
    with pytest.raises(BundleError, match="files of the log have changed"):
        tiny.train("changed-log", f"log.source={log}")


def start(tiny: Any, name: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "7"}
    command = [sys.executable, "-m", "mtrec", "train", str(tiny.file(name)), *LONG]
    return subprocess.Popen(command, cwd=Path(__file__).parents[2], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def wait_for_step(tiny: Any, name: str, step: int, process: subprocess.Popen[bytes]) -> None:
    folder = tiny.folder / "runs" / name / "checkpoints"
    end = time.monotonic() + 120
    while not any(int(path.name[5:]) >= step for path in folder.glob("step-*")):
        assert process.poll() is None and time.monotonic() < end, process.stderr and process.stderr.read()
        time.sleep(0.002)


def stop(tiny: Any, name: str, step: int, number: signal.Signals) -> int:
    process = start(tiny, name)
    with process:
        wait_for_step(tiny, name, step, process)
        process.send_signal(number)
        process.communicate(timeout=120)
    assert not (tiny.folder / "runs" / name / "report.json").exists()
    return process.returncode


@pytest.fixture(scope="module")
def unbroken(tiny: Any) -> dict[str, bytes]:
    tiny.train("unbroken", *LONG)
    state: dict[str, bytes] = tiny.state("unbroken")
    return state


@pytest.mark.slow
def test_sigterm_to_a_process(tiny: Any, unbroken: dict[str, bytes]) -> None:
    assert stop(tiny, "terminated", 3, signal.SIGTERM) == 143
    tiny.train("terminated", *LONG)
    assert tiny.state("terminated") == unbroken


@pytest.mark.slow
def test_kill_in_mid_epoch(tiny: Any, unbroken: dict[str, bytes]) -> None:
    assert stop(tiny, "killed", 12, signal.SIGKILL) == -signal.SIGKILL
    tiny.train("killed", *LONG)
    assert tiny.state("killed") == unbroken


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_kill_at_random_moments(tiny: Any, unbroken: dict[str, bytes], seed: int) -> None:
    import random

    moments = random.Random(seed)
    name = f"killed-{seed}"
    for step in sorted(moments.sample(range(5, 200), 3)):
        process = start(tiny, name)
        with process:
            wait_for_step(tiny, name, step, process)
            time.sleep(moments.random() * 0.05)
            process.kill()
    tiny.train(name, *LONG)
    assert tiny.state(name) == unbroken


@pytest.mark.slow
def test_a_second_sigterm_ends_at_once_without_damage(tiny: Any, unbroken: dict[str, bytes]) -> None:
    process = start(tiny, "twice")
    with process:
        wait_for_step(tiny, "twice", 6, process)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    assert process.returncode == 143
    tiny.train("twice", *LONG)
    assert tiny.state("twice") == unbroken
