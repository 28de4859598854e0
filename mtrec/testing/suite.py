"""How a suite of checks is run."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from pydantic import BaseModel

__all__ = ["Check", "Checks", "round_trips", "run_check", "run_suite"]

Check: TypeAlias = Callable[[type[Any], Any], None]
Checks: TypeAlias = Mapping[str, Check]


def run_suite(checks: Checks, part: type[Any], config: BaseModel, expected_failures: Mapping[str, str] | None = None) -> None:
    """Run every check on a part and report all that failed.

    Args:
        checks: by name; each raises where the part breaks its contract.
        part: the class.
        config: its options.
        expected_failures: name of a check -> the reason why the part cannot pass it; by default those that the class declares.

    Raises:
        AssertionError: naming each check that failed, and each that passed although its failure is expected.
    """
    faults: list[str] = []
    for name in checks:
        try:
            run_check(checks, name, part, config, expected_failures)
        except Exception as error:  # what a part raises is a fault of the part; all are reported together
            kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
            faults.append(f"{name}: {kind}{error}")
    assert not faults, f"{part.__name__} fails {len(faults)} of {len(checks)} checks:\n  " + "\n  ".join(faults)


def run_check(checks: Checks, name: str, part: type[Any], config: BaseModel, expected_failures: Mapping[str, str] | None = None) -> None:
    """Run one check of a suite; what is expected to fail has to fail."""
    expected: Mapping[str, str] = getattr(part, "expected_failures", {}) if expected_failures is None else expected_failures
    unknown = sorted(set(expected) - set(checks))
    assert not unknown, f"expected_failures names checks that do not exist: {unknown}"
    if name not in expected:
        checks[name](part, config)
        return
    try:
        checks[name](part, config)
    except Exception:
        return
    raise AssertionError(f"passes, although it is expected to fail: {expected[name]}")


def round_trips(config: BaseModel) -> bool:
    """Whether the options survive being written as values and as JSON."""
    again = type(config).model_validate(config.model_dump()), type(config).model_validate_json(config.model_dump_json())
    return all(copy == config and repr(copy) == repr(config) for copy in again)
