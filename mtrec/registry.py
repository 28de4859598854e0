"""Parts by name: the name in the configuration is the name of the file that holds the part.

A part is a file in its folder with one class, whose name is the file's name in CamelCase, and a pydantic model `Config` beside it. Nothing is
registered by hand, and no name reaches beyond these folders: a configuration cannot import code.
"""

import difflib
import importlib
import pkgutil
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import BaseModel

from mtrec.errors import ConfigError

__all__ = ["FOLDERS", "add_folder", "names", "part", "suggest"]

FOLDERS = {
    "transforms": "mtrec.features.transforms",
    "encoders": "mtrec.model.encoders",
    "architectures": "mtrec.model.architectures",
    "gates": "mtrec.model.gates",
    "losses": "mtrec.objective.losses",
    "weightings": "mtrec.objective.weightings",
    "aggregators": "mtrec.objective.aggregators",
    "poolings": "mtrec.model.poolings",
}


def names(folder: str) -> list[str]:
    """The names of the parts in a folder, sorted.

    >>> "mmoe" in names("architectures")
    True
    """
    return sorted(module.name for module in pkgutil.iter_modules(_package(folder).__path__))


def part(folder: str, name: str, where: str | None = None) -> tuple[type[Any], type[BaseModel]]:
    """The class of a part and its `Config`, imported on first use.

    Raises:
        ConfigError: if the folder holds no part of that name; the nearest name is suggested.
    """
    known = names(folder)
    if name not in known:
        hint = suggest(name, known)
        raise ConfigError(f"There is no {name!r} among the {folder}", where=where, expected=f"one of {', '.join(known)}", do=hint)
    module = importlib.import_module(f"{FOLDERS[folder]}.{name}")
    config = getattr(module, "Config", None)
    if not (isinstance(config, type) and issubclass(config, BaseModel)):
        raise ConfigError("A part's file lacks its options", where=module.__name__, expected="a pydantic model named Config, empty if there are none")
    return _class_of(module, name), config


def add_folder(folder: str, path: str | Path) -> None:
    """Let the parts in the files of a directory be found beside the package's own: how a plug-in brings parts.

    Only Python code can call this; a configuration cannot.

    Raises:
        ConfigError: if there is no such directory, or it holds a part whose name is taken.
    """
    package = _package(folder)
    if not Path(path).is_dir():
        raise ConfigError("There is no such folder of parts", where=path)
    if str(path) not in package.__path__:
        taken = sorted({module.name for module in pkgutil.iter_modules([str(path)])} & set(names(folder)))
        if taken:
            raise ConfigError(f"The names {', '.join(taken)} are taken among the {folder}", where=path, do="Rename the files.")
        package.__path__.append(str(path))
    importlib.invalidate_caches()


def suggest(name: str, known: list[str]) -> str | None:
    """A did-you-mean sentence, or None where nothing is near.

    >>> suggest("mmoa", ["mmoe", "ple"])
    "Did you mean 'mmoe'?"
    """
    near = difflib.get_close_matches(name, known, n=1)
    return f"Did you mean {near[0]!r}?" if near else None


def _package(folder: str) -> ModuleType:
    if folder not in FOLDERS:
        raise ConfigError(f"There is no kind of part {folder!r}", expected=f"one of {', '.join(FOLDERS)}", do=suggest(folder, list(FOLDERS)))
    return importlib.import_module(FOLDERS[folder])


def _class_of(module: ModuleType, name: str) -> type[Any]:
    wanted = name.replace("_", "")
    for key, value in vars(module).items():
        if isinstance(value, type) and key.lower() == wanted and value.__module__ == module.__name__:
            return value
    raise ConfigError("A part's file lacks its class", where=module.__name__, expected=f"a class named like {wanted!r}, in CamelCase")
