"""Where tables lie, whose process group is used, and what importing torchrec says; look-ups over two processes."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

LOOK_UP = """
import torch
from mtrec.sections import EmbeddingOptimizer
from mtrec.embeddings.tables import Embeddings, initial_table
from mtrec.types import Batch, Cursor, IdField

def look_up(num_rows):
    fields = [IdField("user", "user", 9), IdField("item", "item", 7), IdField("brand", "brand", 5)]
    embeddings = Embeddings(fields, 0, 4, EmbeddingOptimizer(kind="sgd", lr=0.5), seed=1)
    ids = torch.arange(num_rows).repeat(3)
    empty = torch.zeros(num_rows, 0)
    lengths = torch.ones(3, num_rows, dtype=torch.int64)
    batch = Batch(empty, ids, lengths, empty, empty.bool(), torch.ones(num_rows), torch.arange(num_rows), Cursor(0, 0))
    features = embeddings(batch)
    features.flat.sum().backward()
    return embeddings, features
"""
OF_THE_CALLER = """
import torch.distributed as dist
dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
group = dist.group.WORLD
look_up(3)
assert dist.group.WORLD is group
print("done")
"""
TWO_RANKS = """
import os
import torch.distributed as dist
embeddings, features = look_up(3 if os.environ["RANK"] == "0" else 0)
assert dist.get_world_size() == 2 and features.flat.shape == (3 if os.environ["RANK"] == "0" else 0, 12)
assert sorted(embeddings.tables()) == (["user"] if os.environ["RANK"] == "0" else ["brand", "item"])
assert sorted([*embeddings.tables(), *embeddings.elsewhere()]) == ["brand", "item", "user"]
for name, table in embeddings.tables().items():
    step = torch.zeros(table.shape)
    step[:3] = 0.5  # three rows, each of gradient 1 at a rate of .5
    torch.testing.assert_close(table, initial_table(1, name, *table.shape) - step, rtol=0, atol=1e-6)
dist.barrier()
print("done", flush=True)
os._exit(0)
"""

BY_POSITION = """
import os
import torch
import torch.distributed as dist
from mtrec.sections import EmbeddingOptimizer
from mtrec.embeddings.tables import Embeddings, initial_table
from mtrec.types import Batch, Cursor, IdField, SequenceField

rank = int(os.environ["RANK"])
fields = [IdField("user", "user", 9), IdField("item", "item", 7), IdField("seen", "item", 7)]
embeddings = Embeddings(fields, 0, 4, EmbeddingOptimizer(kind="sgd", lr=0.5), 1, [SequenceField("seen", 3)], "item")
num_rows = 2 if rank == 0 else 0
ids = torch.tensor([3, 4, 1, 2, 2, 5, 6][: 7 * num_rows], dtype=torch.int64)  # users 3 and 4, items 1 and 2, seen 2, 5, 6 by the first
lengths = torch.tensor([[1, 1], [1, 1], [3, 0]])[:, :num_rows]
empty = torch.zeros(num_rows, 0)
batch = Batch(empty, ids, lengths, empty, empty.bool(), torch.ones(num_rows), torch.arange(num_rows), Cursor(0, 0))
features = embeddings(batch)
starts = {"user": initial_table(1, "user", 9, 4), "item": initial_table(1, "item", 7, 4)}
if rank == 0:
    torch.testing.assert_close(features.sequences[0, 0], starts["item"][[2, 5, 6]])
    torch.testing.assert_close(features.candidate, starts["item"][[1, 2]])
    assert not features.sequences[1].any()
(features.fields.sum() + features.sequences.sum()).backward()
steps = {"user": [0, 0, 0, 1, 1, 0, 0, 0, 0], "item": [0, 1, 2, 0, 0, 1, 1]}
assert sorted(embeddings.tables()) == (["user"] if rank == 0 else ["item"])
for name, table in embeddings.tables().items():
    torch.testing.assert_close(table, starts[name] - 0.5 * torch.tensor(steps[name]).unsqueeze(1), rtol=0, atol=1e-6)
dist.barrier()
print("done", flush=True)
os._exit(0)
"""


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONWARNINGS", "TORCHELASTIC_RUN_ID")}
    return {**kept, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **more}


def run(program: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *options, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT, env=environment())


def test_tables_go_where_the_fewest_rows_lie() -> None:
    from mtrec.embeddings.sharding import placement

    assert placement({"user": 100, "item": 60, "city": 50}, 2) == {"user": 0, "item": 1, "city": 1}
    assert placement({"b": 5, "a": 5, "c": 5}, 2) == placement({"c": 5, "a": 5, "b": 5}, 2) == {"a": 0, "b": 1, "c": 0}
    assert placement({"a": 5}, 3) == {"a": 0} and placement({}, 2) == {}


@pytest.mark.slow
def test_the_process_group_of_the_caller_is_used_and_no_warning_is_raised() -> None:
    done = run(LOOK_UP + OF_THE_CALLER, "-W", "error")
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


@pytest.mark.slow
@pytest.mark.parametrize("program", [LOOK_UP + TWO_RANKS, BY_POSITION], ids=["pooled", "by position"])
def test_a_rank_without_rows_takes_part_in_the_look_up(program: str, tmp_path: Path) -> None:
    file = tmp_path / "program.py"
    file.write_text(program)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    ranks = [
        subprocess.Popen(
            [sys.executable, str(file)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(RANK=str(rank), WORLD_SIZE="2", LOCAL_RANK=str(rank), MASTER_ADDR="127.0.0.1", MASTER_PORT=port),
        )
        for rank in range(2)
    ]
    try:
        outputs = [process.communicate(timeout=60) for process in ranks]
    except subprocess.TimeoutExpired:
        pytest.fail("the ranks wait for each other")
    finally:
        for process in ranks:
            process.kill()
    assert [output for output, _ in outputs] == ["done\n", "done\n"], outputs
