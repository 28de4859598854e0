"""The README's commands exist, its Python compiles, and its YAML is a configuration."""

import re
import subprocess
from pathlib import Path

import pytest

from mtrec import config

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
VERBS = {"init", "check", "prepare", "train", "backtest", "evaluate", "predict", "export", "compare", "check-artifact", "list", "doctor"}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands(program: str) -> list[list[str]]:
    lines = [line.strip().removeprefix("$ ") for block in (*blocks("bash"), *blocks("console"), *blocks("sh")) for line in block.splitlines()]
    return [words for words in (line.split("#")[0].split() for line in lines) if words and words[0] == program]


def test_every_target_that_is_named_is_there() -> None:
    told = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    targets = {line.split()[1] for line in told.splitlines() if line.startswith("make ")}
    assert {"demo", "test", "check", "format", "bench", "smoke", "clean", "help"} <= targets
    named = {word for words in commands("make") for word in words[1:] if "=" not in word}
    assert named <= targets


def test_every_verb_that_is_named_is_there() -> None:
    assert {words[1] for words in commands("mtrec") if len(words) > 1} - {"--help", "--version"} <= VERBS


def test_every_file_that_is_named_is_there() -> None:
    linked = [target for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", README) if "://" not in target and not target.startswith("mailto:")]
    configs = [word for words in commands("mtrec") for word in words if word.startswith("configs/")]
    assert [name for name in (*linked, *configs) if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_python_compiles(number: int) -> None:
    compile(blocks("python")[number], f"README.md, Python block {number}", "exec")


@pytest.mark.parametrize("number", range(len(blocks("yaml"))))
def test_a_whole_configuration_is_right(number: int) -> None:
    values = config._read(blocks("yaml")[number], f"README.md, YAML block {number}")
    if isinstance(values, dict) and {"name", "log", "tasks"} <= set(values):
        config.parse(values)
