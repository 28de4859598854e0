"""Checks of an artifact in processes of its own: one that has torch alone, and one that is a fork of it."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from mtrec.testing.artifact_case import ArtifactCase, Check

__all__ = ["BLOCKED", "SURROUNDINGS_CHECKS"]

BLOCKED = ("fbgemm_gpu", "mlflow", "mtrec", "numba", "pandas", "polars", "pyarrow", "pydantic", "sklearn", "torchrec")
TIMEOUT_S = 300

# Imports nothing but torch and the standard library; must hold for whoever serves the artifact, so that it cannot use mtrec either.
PROGRAM = """
import json, os, signal, sys, warnings

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[2].split(","):
            raise ImportError(name + " is blocked")

sys.meta_path.insert(0, Blocked())
warnings.simplefilter("ignore")
import torch

model = torch.jit.load(sys.argv[1])
given = json.load(sys.stdin)
lengths = lambda values: torch.tensor(values, dtype=torch.int64)
types = {"number": torch.float64, "id": torch.int64}
numbers = {name: torch.tensor(values, dtype=torch.float64) for name, values in given["numbers"].items()}
ids = {name: (torch.tensor(values, dtype=types[kind]), lengths(counts)) for name, (kind, values, counts) in given["ids"].items()}
strings = {name: (values, lengths(counts)) for name, (values, counts) in given["strings"].items()}
score = lambda: {name: values.tolist() for name, values in model(numbers, ids, strings).items()}
here = [score() for _ in range(4)]
reader, writer = os.pipe()
child = os.fork()
if child == 0:
    signal.alarm(60)  # a fork that hangs ends here
    torch.set_num_threads(1)  # on more, any operation of torch hangs in a fork of a process that has computed something
    os.write(writer, b"same" if all(score() == here[0] for _ in range(4)) else b"other")
    os._exit(0)
os.close(writer)
os.waitpid(child, 0)
json.dump({"scores": here[0], "forked": os.read(reader, 5).decode(), "repeated": all(each == here[0] for each in here)}, sys.stdout)
"""


def torch_alone_gives_the_same_scores_and_so_does_a_fork(case: ArtifactCase) -> None:
    rows = case.rows.slice(0, 64)
    numbers, ids, strings = case.request(rows)
    given = {
        "numbers": {name: values.tolist() for name, values in numbers.items()},
        "ids": {name: ("number" if v.is_floating_point() else "id", v.tolist(), counts.tolist()) for name, (v, counts) in ids.items()},
        "strings": {name: (values, counts.tolist()) for name, (values, counts) in strings.items()},
    }
    with tempfile.TemporaryDirectory() as elsewhere:
        command = [sys.executable, "-P", "-c", PROGRAM, str(Path(case.artifact.path).resolve() / "model.pt"), ",".join(BLOCKED)]
        try:
            done = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, check=False, cwd=elsewhere, timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"scoring in a process of its own does not end within {TIMEOUT_S} s") from None
    assert done.returncode == 0, f"the process ends with {done.returncode}: {done.stderr.strip()[-500:]}"
    found = json.loads(done.stdout)
    case.assert_close({name: torch.tensor(values) for name, values in found["scores"].items()}, case.scores(rows), "with torch alone")
    assert found["repeated"], "the scores change from call to call"
    assert found["forked"] == "same", "a forked process gives other scores"


SURROUNDINGS_CHECKS: tuple[Check, ...] = (torch_alone_gives_the_same_scores_and_so_does_a_fork,)
