"""How alike experts are: linear CKA, which does not ask which unit of one expert does the work of which unit of another.

Shapes: B rows, E experts, H output width.
"""

import torch
from torch import Tensor

__all__ = ["LEAST_ROWS", "cka", "hsic"]

LEAST_ROWS = 4  # The estimate needs as many.


def hsic(experts_BEH: Tensor) -> Tensor:
    """The unbiased estimate of HSIC between experts with linear kernels, [E, E] float64, from at least four rows (Song et al., JMLR 2012).

    (tr K L + 1'K1 1'L1 / (B - 1) / (B - 2) - 2 / (B - 2) 1'KL1) / B / (B - 3)      K, L: products of rows, their diagonals set to 0
    """
    num_rows = len(experts_BEH)
    x_EBH = (experts_BEH.double() - experts_BEH.double().mean(dim=0)).transpose(0, 1)  # A constant changes nothing but the rounding.
    product_EBB = torch.bmm(x_EBH, x_EBH.transpose(1, 2))
    product_EBB.diagonal(dim1=1, dim2=2).zero_()
    flat_EN, sum_EB = product_EBB.flatten(1), product_EBB.sum(dim=2)
    total_E = sum_EB.sum(dim=1)
    trace_EE, cross_EE = flat_EN @ flat_EN.T, sum_EB @ sum_EB.T
    total_EE = total_E.unsqueeze(0) * total_E.unsqueeze(1) / ((num_rows - 1) * (num_rows - 2))
    return (trace_EE + total_EE - 2 / (num_rows - 2) * cross_EE) / (num_rows * (num_rows - 3))


def cka(hsic_EE: Tensor) -> Tensor:
    """From (the mean over batches of) HSIC to CKA, [E, E] (Nguyen, Raghu and Kornblith, ICLR 2021).

    1 for experts that differ by a rotation and a factor, near 0 for unrelated ones, where chance can take it below; NaN where an expert does not
    vary.
    """
    own_E = hsic_EE.diagonal()
    scale_E = torch.where(own_E > 0, own_E, torch.nan).sqrt()
    return (hsic_EE / (scale_E.unsqueeze(0) * scale_E.unsqueeze(1))).clamp(-1, 1)
