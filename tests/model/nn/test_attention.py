"""The transformer block against torch's own."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from mtrec.model.nn.attention import TransformerBlock, num_block_parameters

D, HEADS, HIDDEN = 8, 2, 6


def make() -> tuple[TransformerBlock, nn.TransformerEncoderLayer]:
    torch.manual_seed(0)
    block = TransformerBlock(D, HEADS, HIDDEN).double()
    for parameter in block.parameters():
        nn.init.normal_(parameter)
    layer = nn.TransformerEncoderLayer(D, HEADS, HIDDEN, dropout=0.0, activation="gelu", batch_first=True, norm_first=True).double()
    layer.load_state_dict({
        "self_attn.in_proj_weight": block.query_key_value.weight, "self_attn.in_proj_bias": block.query_key_value.bias,
        "self_attn.out_proj.weight": block.project.weight, "self_attn.out_proj.bias": block.project.bias,
        "linear1.weight": block.expand.weight, "linear1.bias": block.expand.bias,
        "linear2.weight": block.contract.weight, "linear2.bias": block.contract.bias,
        "norm1.weight": block.norm_attention.weight, "norm1.bias": block.norm_attention.bias,
        "norm2.weight": block.norm_hidden.weight, "norm2.bias": block.norm_hidden.bias,
    })  # fmt: skip
    return block, layer


@pytest.mark.parametrize("masked", [False, True])
def test_equals_the_encoder_layer_of_torch(masked: bool) -> None:
    block, layer = make()
    x = torch.randn(5, 4, D, dtype=torch.float64)
    mask = (torch.rand(4, 4) < 0.5) | torch.eye(4, dtype=torch.bool) if masked else None
    expected = layer(x, src_mask=None if mask is None else ~mask)  # torch marks what is hidden.
    assert_close(block(x, mask), expected, rtol=0, atol=1e-12)


def test_start() -> None:
    torch.manual_seed(0)
    block = TransformerBlock(64, 4, 200)
    for linear in (block.project, block.expand, block.contract):
        assert abs(linear.weight.std().item() / 0.01 - 1) < 0.05
    assert abs(block.query_key_value.weight.std().item() / (2 / (64 + 192)) ** 0.5 - 1) < 0.05
    assert block.query_key_value.weight.abs().max() <= (6 / (64 + 192)) ** 0.5
    assert all((linear.bias == 0).all() for linear in (block.query_key_value, block.project, block.expand, block.contract))


def test_number_of_parameters() -> None:
    assert sum(parameter.numel() for parameter in make()[0].parameters()) == num_block_parameters(D, HIDDEN) == 4 * 8 * 9 + 4 * 8 + 2 * 8 * 6 + 6 + 8


def test_a_width_that_heads_cannot_share_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple of the number of heads"):
        TransformerBlock(6, 4, 8)
