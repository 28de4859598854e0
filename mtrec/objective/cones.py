"""Small exact problems on the Gramian of the tasks' gradients, solved as non-negative least squares.

Shapes: P tasks.
"""

import numpy as np
import torch
from scipy.optimize import nnls
from torch import Tensor

__all__ = ["min_norm_point", "nearest_in_dual_cone"]


def min_norm_point(gramian_PP: Tensor) -> Tensor:
    """The weights w >= 0 with sum 1 of the shortest sum_t w_t g_t, float64 [P].

    With u = s w, the least |sum_t u_t g_t|^2 + (s - 1)^2 over s is m / (1 + m) where m = |sum_t w_t g_t|^2, which grows with m; so the least
    over u >= 0 has the same w.
    """
    scale = gramian_PP.diagonal().mean()
    if float(scale) <= 0:
        return torch.full_like(gramian_PP[0], 1 / len(gramian_PP))
    stacked = np.vstack([_root(gramian_PP / scale), np.ones(len(gramian_PP))])
    u, _ = nnls(stacked, np.append(np.zeros(len(gramian_PP)), 1.0))
    return torch.from_numpy(u / u.sum())


def nearest_in_dual_cone(gramian_PP: Tensor, task: int) -> Tensor:
    """The weights w of the vector nearest to g_task that has a product of at least 0 with every g_t, float64 [P].

    It is g_task + sum_t u_t g_t with the u >= 0 that makes this shortest.
    """
    root = _root(gramian_PP / gramian_PP.diagonal().mean())
    u, _ = nnls(root, -root[:, task])
    u[task] += 1.0
    return torch.from_numpy(u)


def _root(gramian_PP: Tensor) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """A with A^T A = G."""
    values_P, vectors_PP = torch.linalg.eigh(gramian_PP)
    root: np.ndarray[tuple[int, int], np.dtype[np.float64]] = (values_P.clamp(min=0).sqrt().unsqueeze(1) * vectors_PP.T).numpy()
    return root
