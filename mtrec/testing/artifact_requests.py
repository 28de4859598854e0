"""Checks that an artifact refuses wrong requests by the name of the column, whoever calls it: the script itself must do so."""

from collections.abc import Iterator

import torch
from torch import Tensor

from mtrec.request import Input, Request
from mtrec.serving import refusal
from mtrec.testing.artifact_case import ArtifactCase, Check

__all__ = ["REQUEST_CHECKS"]


def wrong_requests_are_refused_by_name(case: ArtifactCase) -> None:
    columns = [each.column for each in case.artifact.inputs]
    request = case.request(case.rows.slice(0, 8))
    faults = []
    for fault, wrong in _wrong_requests(request, case.artifact.inputs):
        try:
            case.artifact.model(*wrong)
        except torch.jit.Error as error:
            if not any(column in refusal(error) for column in columns):
                faults.append(f"{fault} is refused without a name: {refusal(error)!r}")
        else:
            faults.append(f"{fault} is scored")
    assert not faults, "; ".join(faults)


def other_columns_are_ignored(case: ArtifactCase) -> None:
    numbers, ids, strings = case.request(case.rows)
    one = torch.ones(1, dtype=torch.int64)
    more = ({**numbers, "no such": torch.zeros(1)}, {**ids, "no such": (one, one)}, {**strings, "no such": (["?"], one)})
    expected = case.artifact.model(numbers, ids, strings)
    for name, values in case.artifact.model(*more).items():
        assert torch.equal(values, expected[name]), f"`{name}` depends on a column that the signature does not name"


def _wrong_requests(request: Request, inputs: list[Input]) -> Iterator[tuple[str, Request]]:
    numbers, ids, strings = request
    for each in inputs:
        column = each.column
        if each.kind == "number":
            values = numbers[column]
            yield f"a request without `{column}`", ({name: numbers[name] for name in numbers if name != column}, ids, strings)
            yield f"`{column}` of two dimensions", ({**numbers, column: values.unsqueeze(1)}, ids, strings)
            if len(inputs) > 1:
                yield f"`{column}` of fewer rows", ({**numbers, column: values[1:]}, ids, strings)
        elif each.kind.startswith("string"):
            texts, lengths = strings[column]
            yield f"a request without `{column}`", (numbers, ids, {name: strings[name] for name in strings if name != column})
            for fault, wrong in _wrong_lengths(lengths, alone=len(inputs) == 1):
                yield f"`{column}` with {fault}", (numbers, ids, {**strings, column: (texts, wrong)})
        else:
            values, lengths = ids[column]
            yield f"a request without `{column}`", (numbers, {name: ids[name] for name in ids if name != column}, strings)
            for fault, wrong in _wrong_lengths(lengths, alone=len(inputs) == 1):
                yield f"`{column}` with {fault}", (numbers, {**ids, column: (values, wrong)}, strings)
            yield f"`{column}` of two dimensions", (numbers, {**ids, column: (values.unsqueeze(1), lengths)}, strings)
            if each.kind != "number_list" and len(values):
                yield f"`{column}` of fractions", (numbers, {**ids, column: (values + 0.5, lengths)}, strings)


def _wrong_lengths(lengths: Tensor, alone: bool) -> Iterator[tuple[str, Tensor]]:
    yield "lengths that promise more values", lengths + (torch.arange(len(lengths)) == 0)
    yield "lengths that are fractions", lengths + 0.0
    yield "lengths of two dimensions", lengths.unsqueeze(1)
    # The sum stays: only a look at each length finds these.
    negative = lengths.clone()
    negative[0], negative[1] = -1, lengths[0] + lengths[1] + 1
    yield "a negative length", negative
    overflowing = lengths.clone()
    overflowing[:4] += 2**62
    yield "lengths whose sum wraps around", overflowing
    if not alone:  # nothing else says how many rows there are
        yield "fewer lengths than rows", torch.cat([lengths[:1] + lengths[1], lengths[2:]])


REQUEST_CHECKS: tuple[Check, ...] = (wrong_requests_are_refused_by_name, other_columns_are_ignored)
