"""Checks of the scores that an artifact gives."""

from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import torch

from mtrec.export.adversarial import hard_variants
from mtrec.testing.artifact_case import ArtifactCase, Check

__all__ = ["SCORE_CHECKS"]

NUM_THREADS = 8


def golden_scores_are_repeated(case: ArtifactCase) -> None:
    case.artifact.golden_check()


def row_order_is_kept(case: ArtifactCase) -> None:
    order = torch.randperm(len(case.rows), generator=torch.Generator().manual_seed(0))
    expected = {name: values[order] for name, values in case.scores(case.rows).items()}
    case.assert_close(case.scores(case.rows.take(pa.array(order.tolist()))), expected, "in another order")


def rows_do_not_see_each_other(case: ArtifactCase) -> None:
    together = case.scores(case.rows)
    for batch_size, num_rows in ((1, 16), (7, 70)):
        rows = case.rows.slice(0, num_rows)
        parts = [case.scores(rows.slice(start, batch_size)) for start in range(0, len(rows), batch_size)]
        apart = {name: torch.cat([part[name] for part in parts]) for name in together}
        case.assert_close(apart, {name: values[: len(rows)] for name, values in together.items()}, f"in batches of {batch_size}")


def no_row_and_one_row_are_scored(case: ArtifactCase) -> None:
    for num_rows in (0, 1, 0, 1):
        case.assert_sound(case.scores(case.rows.slice(0, num_rows)), num_rows, f"{num_rows} rows")


def hard_rows_have_sound_scores(case: ArtifactCase) -> None:
    """Nulls, ids never seen, empty lists, the ends of the range of whole numbers; NaN and infinite numbers."""
    for variant, rows in hard_variants(case.rows, case.artifact.inputs):
        case.assert_sound(case.scores(rows), len(rows), f"{variant} rows")
        for value in (torch.nan, torch.inf, -torch.inf):
            numbers, ids, strings = case.request(rows)
            numbers = {column: torch.full_like(values, value) for column, values in numbers.items()}
            ids = {column: (torch.full_like(v, value) if v.is_floating_point() else v, lengths) for column, (v, lengths) in ids.items()}
            case.assert_sound(case.artifact.model(numbers, ids, strings), len(rows), f"{variant} rows whose numbers are {value}")


def every_gradient_mode_gives_the_same(case: ArtifactCase) -> None:
    """Four calls in each: from the second or third on, TorchScript runs another, optimised program."""
    grad, no_grad, inference = torch.enable_grad, torch.no_grad, torch.inference_mode
    expected = case.scores(case.rows)
    for mode in (grad, no_grad, inference, grad, inference, no_grad, grad):
        for _ in range(4):
            with mode():
                scores = case.scores(case.rows)
            for name, values in scores.items():
                assert torch.equal(values, expected[name]), f"`{name}` changes under {mode.__name__}"


def threads_do_not_disturb_each_other(case: ArtifactCase) -> None:
    requests = [case.request(case.rows.slice(thread, 5)) for thread in range(NUM_THREADS)]
    expected = [case.artifact.model(*request) for request in requests]

    def score(thread: int) -> bool:
        found = [case.artifact.model(*requests[thread]) for _ in range(10)]
        return all(torch.equal(scores[name], values) for scores in found for name, values in expected[thread].items())

    with ThreadPoolExecutor(NUM_THREADS) as pool:
        same = list(pool.map(score, range(NUM_THREADS)))
    assert all(same), f"{same.count(False)} of {NUM_THREADS} threads got other scores than one alone"


SCORE_CHECKS: tuple[Check, ...] = (
    golden_scores_are_repeated,
    row_order_is_kept,
    rows_do_not_see_each_other,
    no_row_and_one_row_are_scored,
    hard_rows_have_sound_scores,
    every_gradient_mode_gives_the_same,
    threads_do_not_disturb_each_other,
)
