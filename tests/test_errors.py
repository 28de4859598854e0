import pytest

from mtrec import errors
from mtrec.errors import BundleError, ConfigError, DataError, GateError, MtrecError, TrainingError


def test_a_message_says_what_where_found_expected_and_what_to_do() -> None:
    error = DataError("The column holds odd values", where="log.parquet", found=[2, 3], expected="0 or 1", do="Clean the log.")
    assert str(error) == "The column holds odd values (log.parquet). Found: [2, 3]. Expected: 0 or 1. Clean the log."


def test_parts_that_are_not_given_are_left_out() -> None:
    assert str(MtrecError("It is broken")) == "It is broken."


def test_what_was_found_may_be_nothing_or_zero() -> None:
    assert str(MtrecError("Rows are missing", found=0)) == "Rows are missing. Found: 0."
    assert str(MtrecError("The key is empty", found="")) == "The key is empty. Found: ."


def test_exit_codes_are_the_contract() -> None:
    codes = {MtrecError: 1, ConfigError: 2, DataError: 3, BundleError: 4, TrainingError: 5, GateError: 6}
    assert {kind: kind.exit_code for kind in codes} == codes


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_is_ours_and_a_value_error(name: str) -> None:
    kind = getattr(errors, name)
    assert issubclass(kind, MtrecError)
    assert issubclass(kind, ValueError)
