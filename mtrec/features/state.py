"""The fitted state of transforms as plain tensors, fit for safetensors, and back."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from mtrec.errors import BundleError
from mtrec.features.transform import Fitted

__all__ = ["load_state", "read_state", "save_state"]


def save_state(module: nn.Module) -> dict[str, Tensor]:
    """All that was fitted, by name: contiguous copies on the CPU."""
    return {name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in module.state_dict().items()}


def read_state(path: Path) -> dict[str, Tensor]:
    """A saved state from its file.

    Raises:
        BundleError: if it is no safetensors file.
    """
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise BundleError("The state of the features cannot be read", where=path, found=error, do="Run prepare again.") from error


def load_state(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put a saved state into a module of the same make; it then gives bitwise the same outputs.

    Unlike `load_state_dict` this takes the shapes from the state, since they are known only after fit.

    Raises:
        BundleError: if names, types or numbers of dimensions are not those of the module; then nothing is changed.
            A feature set also refuses the state of other features, and is then of no use.
    """
    expected = module.state_dict()
    faults = [f"{name} is missing" for name in expected if name not in tensors]
    faults += [f"{name} is unknown" for name in tensors if name not in expected]
    for name in sorted(expected.keys() & tensors.keys()):
        found, wanted = tensors[name], expected[name]
        if found.dtype != wanted.dtype or found.dim() != wanted.dim():
            faults.append(f"{name} is {found.dtype} of {found.dim()} dimensions, not {wanted.dtype} of {wanted.dim()}")
    if faults:
        raise BundleError(
            "The state of the features is of another make",
            found="; ".join(faults),
            expected="the state of a pipeline built from the same features and columns",
            do="Run prepare again.",
        )
    for name, tensor in tensors.items():
        path, _, leaf = name.rpartition(".")
        setattr(module.get_submodule(path), leaf, tensor.detach().clone(memory_format=torch.contiguous_format))
    for part in module.modules():
        if isinstance(part, Fitted):
            part.refresh()
