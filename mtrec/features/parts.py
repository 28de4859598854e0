"""Transforms made from their names and options in a configuration."""

from typing import Any

from pydantic import ValidationError
from torch import nn

from mtrec import registry
from mtrec.errors import ConfigError
from mtrec.features.inputs import NumberInput, TableInput
from mtrec.features.transform import IdTransform, NumberTransform
from mtrec.schema import TransformPart

__all__ = ["make_chain", "make_encoder", "takes_numbers"]


def make_chain(number: NumberInput) -> nn.Sequential:
    """The chain of transforms of one number.

    Raises:
        ConfigError: if a part is not a number transform, or the last may leave null.
    """
    where = f"features.numbers.{number.column}"
    steps = [_make(part, where) for part in number.chain]
    for part, step in zip(number.chain, steps, strict=True):
        if not isinstance(step, NumberTransform):
            raise ConfigError(f"{part.kind!r} does not turn numbers into numbers", where=where, expected="a number transform")
    if not steps or not steps[-1].ends:
        found = f"[{', '.join(part.kind for part in number.chain)}]"
        do = "End the chain with standard or quantile_rank, as in [log1p, standard]."
        raise ConfigError("A chain must end with a transform that fills null", where=where, found=found, do=do)
    return nn.Sequential(*steps)


def make_encoder(table: TableInput) -> IdTransform:
    """The encoder of a table.

    Raises:
        ConfigError: if the part does not encode ids.
    """
    where = f"features.ids.{table.features[0].name}.encoding"
    encoder = _make(table.encoding, where)
    if not isinstance(encoder, IdTransform):
        raise ConfigError(f"{table.encoding.kind!r} does not encode ids", where=where, expected="vocabulary, hashing, buckets, or cross")
    return encoder


def takes_numbers(kind: str, where: str) -> bool:
    """Whether a kind of id encoding is fed with numbers."""
    return bool(getattr(registry.part("transforms", kind, where)[0], "takes_numbers", False))


def _make(part: TransformPart, where: str) -> Any:
    cls, config = registry.part("transforms", part.kind, where)
    try:
        return cls(config.model_validate(part.options))
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, each['loc'])) or part.kind}: {each['msg']}" for each in error.errors()]
        raise ConfigError(f"The options of {part.kind!r} are not valid", where=where, found="; ".join(faults)) from None
