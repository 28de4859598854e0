import pytest
from rich.console import Console

from mtrec import registry
from mtrec.errors import ConfigError
from mtrec.jobs.listing import list_parts


def printed(folder: str) -> str:
    console = Console(width=400, no_color=True)
    with console.capture() as captured:
        console.print(list_parts(folder))
    return captured.get()


@pytest.mark.parametrize("folder", sorted(registry.FOLDERS))
def test_each_part_is_listed_with_its_options(folder: str) -> None:
    text = printed(folder)
    for name in registry.names(folder):
        assert name in text
        for option in registry.part(folder, name)[1].model_fields:
            assert f"{option}=" in text


def test_brackets_are_text() -> None:
    assert "expert_hidden=[" in printed("architectures")


def test_an_unknown_kind_names_the_kinds() -> None:
    with pytest.raises(ConfigError, match="architectures"):
        list_parts("architecture")
