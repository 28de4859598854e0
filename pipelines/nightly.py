"""A nightly job: train a model with the newest day, and let it take the place of the one that serves if it is not worse.

    python -m pipelines.shop --day 2026-07-01                                   your own: writes data/shop/log/2026-07-01.parquet
    python -m pipelines.nightly configs/shop.yaml --day 2026-07-01

The log of the configuration is a folder, or a glob, of one file a day that is named by its date and holds the rows of that day in `log.time.zone`;
`log.roles.keys` must name a row. For day D:

1. The files up to D are the log; the day before D is valid, D is test. Each night is a run of its own, `<runs>/D`, trained and evaluated as
   `mtrec train` does.
2. The run that is promoted scores the rows of D too, and the new one is compared with it as `mtrec compare --gate` does. If it is worse on a
   task, or its probabilities cannot be taken at their word, the job ends with 6 and nothing changes. The first night has nothing to be compared
   with.
3. The new run is exported to `<runs>/D/export`, which ends with 6 too unless the artifact's scores are training's.
4. `<runs>/promoted.json` comes to name the new artifact, whole or not at all. A server reads it so:

    pointer = json.loads((runs / "promoted.json").read_text())
    artifact = load_artifact(runs / pointer["artifact"], pointer["manifest_sha256"])

A new model is trained on the rows of many days, with the histories and counters that each row had, so every night computes these from all days.
The state after the last row is there for two things: the artifact carries it to answer the requests of the next day, and the promoted run goes on
from it through the days that it has not seen, so that step 2 gives it the histories that the new run has, from the new files alone.

A night that was stopped goes on where it was; one that is promoted, or older than the one that is, is left as it is. Keep the promoted night and the
folder under `<runs>/prepared` that belongs to it; all others may go.
"""

import argparse
import json
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mtrec.config import Config, load
from mtrec.data.files import find_files
from mtrec.errors import ConfigError, DataError, MtrecError
from mtrec.evaluation.gate import refuse_if_worse
from mtrec.jobs.compare import compare
from mtrec.jobs.export import export_run
from mtrec.jobs.load import load_run
from mtrec.jobs.scored import scored_log
from mtrec.jobs.train import train
from mtrec.schema import Split
from mtrec.store import MANIFEST, Bundle, atomic_file, digest_of, write_json

__all__ = ["main", "night"]


def night(config: Config, day: date, runs: Path, calibration: tuple[float, float] = (0.9, 1.1)) -> bool:
    """Train, judge and promote the model of a day; False if nothing was to do, as a night that is as late is promoted already.

    Args:
        calibration: where predicted over actual of the new model must lie.

    Raises:
        GateError: if the new model is worse than the promoted one, or its artifact is not what was trained; the promoted one stays.
        ConfigError: if no columns name a row.
        DataError: if the day has no file, or fewer than two come before it.
    """
    pointer = runs / "promoted.json"
    promoted: dict[str, Any] | None = json.loads(pointer.read_text(encoding="utf-8")) if pointer.is_file() else None
    if promoted is not None and promoted["day"] >= day.isoformat():
        return False
    if not config.log.roles.keys:
        raise ConfigError("Two models are compared row by row", where="log.roles.keys", expected="the columns that name a row")
    files = files_by_day(config.log.source, day)
    run = train(config_of_night(config, files, day, runs))
    if promoted is not None:
        scores = run.path / "promoted.parquet"
        _score(runs / promoted["run"], [file for each, file in files.items() if each.isoformat() > promoted["day"]], scores)
        report = compare([str(run.path)], [str(scores)])
        write_json(run.path / "compared.json", {"promoted": promoted, **report})
        refuse_if_worse(report["tasks"], calibration)
    if not Bundle.is_complete(run.export):
        export_run(load_run(run.path))
    where = {"run": run.path.relative_to(runs).as_posix(), "artifact": run.export.relative_to(runs).as_posix()}
    write_json(pointer, {"format": 1, "day": day.isoformat(), **where, "manifest_sha256": digest_of(run.export / MANIFEST)})
    return True


def files_by_day(source: str | list[str], last: date) -> dict[date, str]:
    """The files of a log up to a day, by their days, in order.

    Raises:
        DataError: if a file's name is no date, two have one date, the last day has no file, or fewer than two come before it.
    """
    days: dict[date, str] = {}
    for file in find_files(source):
        try:
            day = date.fromisoformat(Path(file).name.partition(".")[0])
        except ValueError as error:
            raise DataError("A file of the log is not named by its day", where=file, expected="a name such as 2026-07-01.parquet") from error
        if day in days:
            raise DataError("Two files of the log are of one day", where=file, found=days[day])
        days[day] = file
    found = {day: days[day] for day in sorted(days) if day <= last}
    if last not in found or len(found) < 3:
        expected = f"a file of {last} and two of days before it"
        raise DataError("The log lacks days", found=", ".join(each.isoformat() for each in found) or "none", expected=expected)
    return found


def config_of_night(config: Config, files: dict[date, str], day: date, runs: Path) -> Config:
    """The configuration with the files as its log, the day before the last as valid, and the last as test."""
    before, last = list(files)[-2:]
    split = Split(by="time", valid_from=before.isoformat(), test_from=last.isoformat())
    log = config.log.model_copy(update={"source": list(files.values()), "split": split})
    return config.model_copy(update={"name": f"{config.name}-{day}", "run_dir": str(runs / day.isoformat()), "log": log})


def _score(run: Path, files: list[str], out: Path) -> None:
    """What the run that is promoted says of the rows of the days that came after it, as a file of scores."""
    loaded = load_run(run)
    (scores, columns), _ = scored_log(loaded, files)
    assert columns is not None  # They hold the keys.
    keys = {key: columns[key] for key in loaded.config.log.roles.keys}
    with atomic_file(out) as aside:
        pq.write_table(pa.table({**keys, **dict(zip(loaded.config.tasks, scores.predictions.T, strict=True))}), aside, write_page_checksum=True)


def main(arguments: list[str] | None = None) -> None:
    """The command line; exit codes are those of mtrec: 6 where the new model is refused."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.nightly", description="Train with the newest day, and promote what is not worse.")
    parser.add_argument("config", type=Path, help="a configuration whose log is one file a day")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="keys to set")
    parser.add_argument("--day", type=date.fromisoformat, required=True, help="the newest day, such as 2026-07-01")
    parser.add_argument("--runs", type=Path, default=Path("runs/nightly"), help="folder of the nights (default: %(default)s)")
    parser.add_argument("--calibration", type=float, nargs=2, default=(0.9, 1.1), metavar=("LOW", "HIGH"), help="default: 0.9 1.1")
    chosen = parser.parse_args(arguments)
    try:
        done = night(load(chosen.config, chosen.overrides), chosen.day, chosen.runs, tuple(chosen.calibration))
    except MtrecError as error:
        parser.exit(error.exit_code, f"error: {error}\n")
    print(f"{chosen.day}: {'promoted' if done else 'nothing to do'}, see {chosen.runs / 'promoted.json'}")


if __name__ == "__main__":
    main()
