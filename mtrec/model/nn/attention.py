"""A pre-norm transformer block, written out so that TorchScript can carry it.

Shapes: B sequences, N tokens, d width, h heads.
"""

from torch import Tensor, nn
from torch.nn import functional

__all__ = ["TransformerBlock", "num_block_parameters"]


def num_block_parameters(width: int, hidden: int) -> int:
    """4 d (d + 1) + 4 d + 2 d f + f + d: attention, two layer norms, feed-forward.

    >>> num_block_parameters(width=4, hidden=3)
    127
    """
    return 4 * width * (width + 1) + 4 * width + 2 * width * hidden + hidden + width


class TransformerBlock(nn.Module):
    """x = x + attention(LayerNorm(x)); x = x + W2 gelu(W1 LayerNorm(x) + b1) + b2.

    The projections to queries, keys and values start Xavier uniform, as one [3 d, d] matrix; all other kernels as N(0, 0.01^2), biases as 0.

    Args:
        width: d, a multiple of `num_heads`.
        hidden: width of the feed-forward layer.
        attention_dropout: of the attention weights, and of what attention adds.
        dropout: of the hidden layer.
    """

    def __init__(self, width: int, num_heads: int, hidden: int, attention_dropout: float = 0.0, dropout: float = 0.0) -> None:
        super().__init__()
        if width % num_heads:
            raise ValueError(f"The width should be a multiple of the number of heads. Found {width} and {num_heads}.")
        self.num_heads, self.attention_dropout, self.dropout = num_heads, attention_dropout, dropout
        self.norm_attention, self.norm_hidden = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query_key_value, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.expand, self.contract = nn.Linear(width, hidden), nn.Linear(hidden, width)
        for linear in (self.query_key_value, self.project, self.expand, self.contract):
            nn.init.normal_(linear.weight, std=0.01)
            nn.init.zeros_(linear.bias)
        nn.init.xavier_uniform_(self.query_key_value.weight)

    def forward(self, x_BNd: Tensor, mask_NN: Tensor | None = None) -> Tensor:
        """x [B, N, d], mask [N, N] bool, True where the query of the row may see the key of the column -> [B, N, d]"""
        attended_BNd = self.project(self._attend(self.norm_attention(x_BNd), mask_NN))
        x_BNd = x_BNd + functional.dropout(attended_BNd, self.attention_dropout, self.training)
        hidden_BNf = functional.gelu(self.expand(self.norm_hidden(x_BNd)))
        y_BNd: Tensor = self.contract(functional.dropout(hidden_BNf, self.dropout, self.training))
        return x_BNd + y_BNd

    def _attend(self, x_BNd: Tensor, mask_NN: Tensor | None) -> Tensor:
        num_rows, num_tokens, width = x_BNd.shape
        heads_BN3hk = self.query_key_value(x_BNd).view(num_rows, num_tokens, 3, self.num_heads, width // self.num_heads)
        query_BhNk, key_BhNk, value_BhNk = heads_BN3hk.permute(2, 0, 3, 1, 4).unbind(0)
        dropout = self.attention_dropout if self.training else 0.0
        y_BhNk = functional.scaled_dot_product_attention(query_BhNk, key_BhNk, value_BhNk, attn_mask=mask_NN, dropout_p=dropout)
        return y_BhNk.transpose(1, 2).reshape(num_rows, num_tokens, width)
