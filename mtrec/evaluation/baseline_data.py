"""The prepared rows of a split as one matrix, for baselines that are no networks."""

import numpy as np
import torch

from mtrec.data.bundle import Prepared
from mtrec.evaluation.baseline import BaselineData
from mtrec.features.vectors import frozen_vectors

__all__ = ["baseline_data"]


def baseline_data(prepared: Prepared, split: str) -> BaselineData:
    """Every number once, the frozen vectors, and the code of every id feature that has at most one value a row.

    A column that is given as its quantile rank is taken so, since the rank keeps its order and marks what was null; lists and crosses are left out.
    """
    vectors = frozen_vectors(prepared.path / "features.safetensors", prepared.num_vectors)
    chosen = _once([name.rpartition(".") for name in prepared.number_names])
    places = [*chosen, *range(prepared.num_numbers, prepared.num_numbers + vectors.width)]
    single = [index for index, many in enumerate(prepared.many) if not many]
    parts = []
    for batch in map(vectors, prepared.reader(split, 65_536).in_order()):
        numbers = batch.numbers[:, places]
        values = batch.ids.split(batch.id_lengths.sum(1).tolist())
        codes = torch.full((len(batch.weight), len(single)), torch.nan)
        for place, index in enumerate(single):
            codes[batch.id_lengths[index] == 1, place] = values[index].float()
        parts.append((torch.cat([numbers, codes], 1), batch.labels, batch.label_mask, batch.weight))
    names = [prepared.number_names[i] for i in chosen] + [f"vector.{i}" for i in range(vectors.width)] + [prepared.fields[i].name for i in single]
    if not parts:
        nothing = np.zeros((0, len(prepared.facts["train"])), dtype=np.float32)
        return BaselineData(np.zeros((0, len(names)), dtype=np.float32), names, nothing, nothing.astype(np.bool_), nothing[:, 0])
    features, labels, mask, weight = (torch.cat(column).numpy() for column in zip(*parts, strict=True))
    return BaselineData(features, names, labels, mask, weight)


def _once(names: list[tuple[str, str, str]]) -> list[int]:
    """For each column, the index of its quantile rank, or else of its first transform."""
    chosen: dict[str, int] = {}
    for index, (chain, _, last) in enumerate(names):
        column = chain.removesuffix(".log1p")
        if column not in chosen or last == "quantile_rank":
            chosen[column] = index
    return list(chosen.values())
