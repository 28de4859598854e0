"""The whole model in plain torch: from raw columns to what is served, in one module that TorchScript can carry.

Shapes: B rows, N numbers, F id features, G features looked up, L positions, d embedding width.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from mtrec.embeddings.layout import Layout
from mtrec.embeddings.positions import spread
from mtrec.errors import BundleError
from mtrec.types import IdField

__all__ = ["ServingModel"]


class _Table(nn.Module):
    """An embedding table; however many id features share it, it is stored once."""

    weight: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight)

    def forward(self, values: Tensor, lengths: Tensor) -> Tensor:
        """The mean of the rows of each bag, zeros for an empty one: values [sum], lengths [B] -> [B, d]"""
        sums = functional.embedding_bag(values, self.weight, lengths.cumsum(0) - lengths, mode="sum")
        # Times the reciprocal, as the fused look-up of training does it: then both round alike, to the last bit.
        return sums * (1.0 / lengths.clamp(min=1).to(sums.dtype)).unsqueeze(1)

    def by_position(self, values: Tensor, lengths: Tensor, max_length: int) -> Tensor:
        """Each value by itself, zeros behind a row's last: values [sum], lengths [B] -> [L, B, d]"""
        return spread(functional.embedding(values, self.weight), lengths, max_length).transpose(0, 1)


class ServingModel(nn.Module):
    """outputs(ranker(features)), the features being numbers and embeddings, pooled or by position, as in training.

    Args:
        feature_set: fitted; raw columns -> numbers [B, N], id values feature-major, id lengths [F, B].
        fields: the F id features, those of one table adjacent, in the order of `feature_set`.
        tables: float32 [rows, d] by name, all of one d.
        ranker: FeatureBatch -> logits.
        outputs: logits -> {output: [B]}.
        layout: which fields are looked up position by position, and which is the candidate; absent: none.

    Raises:
        BundleError: naming all tables that do not fit the fields.
    """

    num_fields_of_table: list[int]
    num_positions: list[int]

    def __init__(
        self,
        feature_set: nn.Module,
        fields: list[IdField],
        tables: dict[str, Tensor],
        ranker: nn.Module,
        outputs: nn.Module,
        layout: Layout | None = None,
    ) -> None:
        super().__init__()
        _check(fields, tables)
        names = list(dict.fromkeys(field.table for field in fields))
        self.layout = layout if layout is not None else Layout(fields)
        self.num_positions = self.layout.num_positions
        self.width = tables[names[0]].shape[1] if names else 0
        self.feature_set, self.ranker, self.outputs = feature_set, ranker, outputs
        self.tables = nn.ModuleList(_Table(tables[name].detach()) for name in names)
        self.num_fields_of_table = [sum(field.table == name for field in fields) for name in names]

    def forward(
        self, numbers: dict[str, Tensor], ids: dict[str, tuple[Tensor, Tensor]], strings: dict[str, tuple[list[str], Tensor]]
    ) -> dict[str, Tensor]:
        """Score B raw rows.

        Args:
            numbers: by column, [B] float64, NaN where null.
            ids: by column, values int64 and lengths [B], 0 where null; lists of numbers too, with float64 values.
            strings: by column, values and lengths [B], 0 where null.

        Returns:
            {output: [B] float32}: probabilities in [0, 1], or values in label units.

        Raises:
            ValueError: naming the column that is missing, or whose values, lengths and rows do not fit together.
        """
        numbers_BN, values, lengths_FB = self.feature_set(numbers, ids, strings)
        num_rows = numbers_BN.size(0)
        parts: list[Tensor] = [numbers_BN.new_zeros([0, num_rows, self.width])]
        field, first_value = 0, 0
        for place, table in enumerate(self.tables):
            for _ in range(self.num_fields_of_table[place]):
                lengths_B = lengths_FB[field]
                num_values = int(lengths_B.sum())
                field_values = values[first_value : first_value + num_values]
                if self.num_positions[field] > 0:
                    parts.append(table.by_position(field_values, lengths_B, self.num_positions[field]))  # type: ignore[operator]
                else:
                    parts.append(table(field_values, lengths_B).unsqueeze(0))
                field += 1
                first_value += num_values
        looked_up_GBd = torch.cat(parts)
        features = self.layout(numbers_BN, looked_up_GBd.transpose(0, 1), lengths_FB)
        served: dict[str, Tensor] = self.outputs(self.ranker(features))
        return served


def _check(fields: list[IdField], tables: dict[str, Tensor]) -> None:
    faults: list[str] = []
    order = [field.table for field in fields]
    widths = {tables[name].shape[-1] for name in order if name in tables}
    for name in dict.fromkeys(order):
        num_rows = max(field.num_rows for field in fields if field.table == name)
        last = len(order) - 1 - order[::-1].index(name)
        if order[order.index(name) : last + 1] != [name] * order.count(name):
            faults.append(f"the fields of `{name}` do not stand side by side")
        if name not in tables:
            faults.append(f"`{name}` is missing")
        elif tables[name].dim() != 2 or tables[name].shape[0] < num_rows or tables[name].dtype != torch.float32:
            faults.append(f"`{name}` is {tables[name].dtype} {list(tables[name].shape)}, not float32 of {num_rows} rows")
        elif not bool(torch.isfinite(tables[name]).all()):
            faults.append(f"`{name}` holds values that are not finite")
    if len(widths) > 1:
        faults.append(f"the tables have the widths {sorted(widths)}, not one")
    if faults:
        raise BundleError("The embedding tables do not fit the id features", found="; ".join(faults), do="Export from the run's own checkpoint.")
