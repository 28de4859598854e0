"""What each task is interested in, of each behaviour sequence: one transformer whose layer norms know the task and the sequence.

Shapes: B rows, T tasks, S sequences, L positions, d width, N of one axis: the sequences of the batch, by row, task (where they differ) and sequence.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from mtrec.model.nn.sequence import known_positions, mean_over_known, softmax_over_known, weighted_sum

__all__ = ["TaskInterests", "num_interest_parameters"]


def num_interest_parameters(
    width: int, num_tasks: int, num_sequences: int, num_layers: int, feed_forward: int, hyper_width: int, hyper_hidden: int
) -> int:
    """(T + S) e + (2 e + 1) k + (k + 1) 4 d l + l (4 d (d + 1) + 2 d f + f + d), with l layers, f feed_forward, e and k of the hypernetwork.

    >>> num_interest_parameters(2, 3, 2, 1, 4, 1, 5)
    114
    """
    hyper = (num_tasks + num_sequences) * hyper_width + (2 * hyper_width + 1) * hyper_hidden + (hyper_hidden + 1) * num_layers * 4 * width
    return hyper + num_layers * (4 * width * (width + 1) + 2 * width * feed_forward + feed_forward + width)


class _Layer(nn.Module):
    """The two sublayers of a transformer layer, without their norms: attention among the known positions, and the feed-forward net."""

    def __init__(self, width: int, num_heads: int, feed_forward: int, dropout: float) -> None:
        super().__init__()
        self.num_heads, self.dropout = num_heads, dropout
        self.query_key_value, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.expand, self.contract = nn.Linear(width, feed_forward), nn.Linear(feed_forward, width)
        for linear in (self.query_key_value, self.project, self.expand, self.contract):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)

    def attend(self, x_NLd: Tensor, seen_NL: Tensor) -> Tensor:
        num_rows, length, width = x_NLd.shape
        heads = self.query_key_value(x_NLd).view(num_rows, length, 3, self.num_heads, width // self.num_heads)
        query, key, value = heads.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=seen_NL.unsqueeze(1).unsqueeze(1))
        y_NLd: Tensor = self.project(mixed.transpose(1, 2).reshape(num_rows, length, width))
        return functional.dropout(y_NLd, self.dropout, self.training)

    def feed(self, x_NLd: Tensor) -> Tensor:
        hidden = functional.dropout(torch.relu(self.expand(x_NLd)), self.dropout, self.training)
        return functional.dropout(self.contract(hidden), self.dropout, self.training)


class TaskInterests(nn.Module):
    """Interest i_{t,s} [d] of task t in sequence s.

        (g, b)    = W2 silu(W1 [e_t ; b_s] + c1) + c2                        for each layer norm; e_t, b_s learned
        N_ts(x)   = (1 + g) LayerNorm(x) + b                                 LayerNorm without weights of its own
        h         = N_ts(h + attention(h)); h = N_ts(h + feed_forward(h))    num_layers times, weights shared by all t and s; h starts as
                                                                             elements + positions
        i_{t,s}   = mean over the known positions, or softmax(h . (W q + c) / sqrt(d)) weighted, q the candidate

    Positions are counted from the newest element. W2 and c2 start at zero, so that all tasks start from one plain transformer. The attention of
    the first layer does not depend on the task, and is computed once for all.

    Args:
        width: d, a multiple of `num_heads`.
        max_length: L.
        pooling: "target_attention" reads the candidate.
        position: whether elements carry a learned embedding of their position.
        hyper_width, hyper_hidden: width of e_t and b_s, and of the hypernetwork's hidden layer.
        dropout: of what each sublayer adds, and of the feed-forward net's hidden layer, in training only.

    Parameters: those of `num_interest_parameters`, and L d for positions, and d (d + 1) for target attention.
    """

    def __init__(
        self,
        width: int,
        num_tasks: int,
        num_sequences: int,
        max_length: int,
        *,
        num_layers: int,
        num_heads: int,
        feed_forward: int,
        pooling: Literal["mean", "target_attention"],
        position: bool,
        hyper_width: int,
        hyper_hidden: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.width, self.num_tasks, self.num_sequences, self.num_layers = width, num_tasks, num_sequences, num_layers
        self.task_Te = nn.Parameter(torch.randn(num_tasks, hyper_width))
        self.behaviour_Se = nn.Parameter(torch.randn(num_sequences, hyper_width))
        self.hyper_hidden = nn.Linear(2 * hyper_width, hyper_hidden)
        self.hyper_output = nn.Linear(hyper_hidden, num_layers * 4 * width)
        nn.init.zeros_(self.hyper_output.weight)
        nn.init.zeros_(self.hyper_output.bias)
        self.layers = nn.ModuleList(_Layer(width, num_heads, feed_forward, dropout) for _ in range(num_layers))
        # As small as the embeddings that they are added to are at the start.
        self.position_Ld = nn.Parameter(0.1 / width**0.5 * (2 * torch.rand(max_length, width) - 1)) if position else None
        self.query = nn.Linear(width, width) if pooling == "target_attention" else None

    def norms(self) -> Tensor:
        """g and b of the two norms of each layer, [layers, norms, g and b, T, S, d]; they depend on no row."""
        shape = [self.num_tasks, self.num_sequences, self.task_Te.shape[1]]
        # Not relu: a unit that is off for each of the few pairs would never come back.
        pairs = torch.cat([self.task_Te.unsqueeze(1).expand(shape), self.behaviour_Se.unsqueeze(0).expand(shape)], dim=2)
        output: Tensor = self.hyper_output(functional.silu(self.hyper_hidden(pairs)))
        return output.view(self.num_tasks, self.num_sequences, self.num_layers, 2, 2, self.width).permute(2, 3, 4, 0, 1, 5)

    def forward(self, sequences_BSLd: Tensor, lengths_BS: Tensor, candidate_Bd: Tensor) -> Tensor:
        """-> [B, T, S, d], zeros for an empty sequence"""
        num_rows, max_length = sequences_BSLd.shape[0], sequences_BSLd.shape[2]
        lengths_N = lengths_BS.flatten()
        known_NL = known_positions(lengths_N, max_length)
        h_NLd = sequences_BSLd.flatten(0, 1).masked_fill(~known_NL.unsqueeze(2), 0.0)
        if self.position_Ld is not None:
            age_NL = (lengths_N.unsqueeze(1) - 1 - torch.arange(max_length, device=lengths_N.device)).clamp(min=0)
            h_NLd = h_NLd + self.position_Ld[age_NL]
        # An empty sequence sees one position that holds nothing, since attention to nothing is not finite; its interest is zero in the end.
        seen_NL = known_positions(lengths_N.clamp(min=1), max_length)
        norms = self.norms()
        for place, layer in enumerate(self.layers):
            h_NLd = self._norm(h_NLd + layer.attend(h_NLd, seen_NL), norms[place, 0], num_rows, 1 if place == 0 else self.num_tasks)  # type: ignore[operator]
            if place == 0:
                known_NL, seen_NL = self._for_each_task(known_NL, num_rows), self._for_each_task(seen_NL, num_rows)
            h_NLd = self._norm(h_NLd + layer.feed(h_NLd), norms[place, 1], num_rows, self.num_tasks)  # type: ignore[operator]
        if self.query is not None:
            query_Bd = self.query(candidate_Bd) / self.width**0.5
            query_N1d = query_Bd.repeat_interleave(self.num_tasks * self.num_sequences, dim=0).unsqueeze(1)
            interests_Nd = weighted_sum(softmax_over_known((h_NLd * query_N1d).sum(dim=2), known_NL), h_NLd, known_NL)
        else:
            interests_Nd = mean_over_known(h_NLd, known_NL)
        return interests_Nd.view(num_rows, self.num_tasks, self.num_sequences, self.width)

    def _norm(self, x_NLd: Tensor, norm: Tensor, num_rows: int, num_tasks: int) -> Tensor:
        """x, one for all tasks or one for each -> one for each, [N = B T S, L, d]"""
        x = functional.layer_norm(x_NLd, [self.width]).view(num_rows, num_tasks, self.num_sequences, x_NLd.shape[1], self.width)
        y = (1 + norm[0].unsqueeze(2)) * x + norm[1].unsqueeze(2)
        return y.flatten(0, 2)

    def _for_each_task(self, mask_NL: Tensor, num_rows: int) -> Tensor:
        """[B S, L] -> [B T S, L]"""
        mask_BSL = mask_NL.view(num_rows, 1, self.num_sequences, mask_NL.shape[1])
        return mask_BSL.expand(-1, self.num_tasks, -1, -1).flatten(0, 2)
