"""Feature gates against their equation."""

import pytest
import torch
from torch.testing import assert_close

from mtrec.model.nn.feature_gate import FeatureGates, num_feature_gate_parameters

G, B, D = 3, 5, 4


@pytest.mark.parametrize("num_loras", [1, 2])
def test_starts_as_the_identity(num_loras: int) -> None:
    x = torch.randn(G, B, D)
    assert_close(FeatureGates(G, D, 2, num_loras)(x), x, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("num_loras", [1, 2, 3])
def test_equals_a_loop_over_its_equation(num_loras: int) -> None:
    torch.manual_seed(0)
    gates, x = FeatureGates(G, D, 2, num_loras).double(), torch.randn(G, B, D, dtype=torch.float64)
    torch.nn.init.normal_(gates.up)
    expected = torch.zeros_like(x)
    for gate in range(G):
        for row in range(B):
            v = x[gate, row]
            powers = torch.ones(1) if gates.mix is None else torch.exp(v @ gates.mix[gate])
            total = sum(powers[i] / powers.sum() * 2 / (1 + torch.exp(-(v @ gates.down[gate, i] @ gates.up[gate, i]))) for i in range(num_loras))
            expected[gate, row] = v * total
    assert_close(gates(x), expected, rtol=0, atol=1e-12)
    assert_close(gates.part(x[1:], 1, G), expected[1:], rtol=0, atol=1e-12)


@pytest.mark.parametrize("num_loras", [1, 2])
def test_number_of_parameters(num_loras: int) -> None:
    found = sum(parameter.numel() for parameter in FeatureGates(G, D, 2, num_loras).parameters())
    assert found == G * num_feature_gate_parameters(D, 2, num_loras) == G * (2 * num_loras * D * 2 + (D * 2 if num_loras == 2 else 0))
