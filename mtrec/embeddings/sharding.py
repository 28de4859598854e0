"""The torchrec side of the embeddings: which rank holds which table, and the fused collection that looks up and learns."""

import contextlib
import logging
import os
import socket
import warnings
from collections.abc import Iterator
from datetime import timedelta

with warnings.catch_warnings():
    # torchrec and torch's own distributed optimizers script functions while they are imported, which torch 2.13 deprecates.
    warnings.simplefilter("ignore", DeprecationWarning)
    import torchrec
    from torch.distributed.optim import _apply_optimizer_in_backward as apply_optimizer_in_backward
    from torchrec.distributed import DistributedModelParallel
    from torchrec.distributed.comm_ops import set_gradient_division
    from torchrec.distributed.embeddingbag import EmbeddingBagCollectionSharder
    from torchrec.distributed.sharding_plan import construct_module_sharding_plan, table_wise
    from torchrec.distributed.types import ModuleSharder, ShardingPlan
    from torchrec.optim import RowWiseAdagrad

import torch
import torch.distributed as dist
from torch import Tensor, nn

from mtrec.sections import EmbeddingOptimizer
from mtrec.types import IdField

__all__ = ["Sharded", "ensure_process_group", "placement", "shard"]

_LONGEST_WAIT = timedelta(minutes=30)  # Of one rank for another: the first prepares a whole log while the others wait.

_INTERFACE = "GLOO_SOCKET_IFNAME"
_OPTIMIZERS = {"rowwise_adagrad": RowWiseAdagrad, "adagrad": torch.optim.Adagrad, "sgd": torch.optim.SGD}


def ensure_process_group() -> None:
    """Use the caller's process group; else join torchrun's; else make one of this process alone."""
    # Losses are divided by the known weight of the whole batch, so that the gradients of the ranks are to be added up as they are.
    set_gradient_division(False)
    if dist.is_initialized():
        return
    if "TORCHELASTIC_RUN_ID" in os.environ or ("MASTER_ADDR" in os.environ and "WORLD_SIZE" in os.environ):
        dist.init_process_group("gloo", timeout=_LONGEST_WAIT)
    else:
        with _loopback_only():
            dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)


@contextlib.contextmanager
def _loopback_only() -> Iterator[None]:
    """Gloo listens even in a process alone: there nobody from outside can reach it."""
    names = [name for _, name in socket.if_nameindex() if name.startswith("lo")]
    if not names or _INTERFACE in os.environ:
        yield
        return
    os.environ[_INTERFACE] = names[0]
    try:
        yield
    finally:
        del os.environ[_INTERFACE]


def placement(num_rows: dict[str, int], world_size: int) -> dict[str, int]:
    """The rank of each table: the largest first, each on the rank that holds the fewest rows so far.

    >>> placement({"user": 100, "item": 60, "city": 50}, 2)
    {'user': 0, 'item': 1, 'city': 1}
    """
    load = [0] * world_size
    ranks: dict[str, int] = {}
    for name in sorted(num_rows, key=lambda table: (-num_rows[table], table)):
        ranks[name] = load.index(min(load))
        load[ranks[name]] += num_rows[name]
    return ranks


def shard(fields: list[IdField], width: int, optimizer: EmbeddingOptimizer) -> "Sharded":
    """Build the collection of all tables and spread it over the ranks; a field may stand there several times."""
    ensure_process_group()
    names: dict[str, list[str]] = {}
    for index, field in enumerate(fields):
        names.setdefault(field.table, []).append(f"feature_{index}")
    num_rows = {field.table: field.num_rows for field in fields}
    alias = {table: f"table_{index}" for index, table in enumerate(names)}  # A column's name may hold a dot, a module's may not.
    configs = [
        torchrec.EmbeddingBagConfig(
            name=alias[table], embedding_dim=width, num_embeddings=num_rows[table], feature_names=features, pooling=torchrec.PoolingType.MEAN
        )
        for table, features in names.items()
    ]
    collection = torchrec.EmbeddingBagCollection(tables=configs, device=torch.device("meta"))
    options = {"lr": optimizer.lr} if optimizer.kind == "sgd" else {"lr": optimizer.lr, "eps": optimizer.eps}
    apply_optimizer_in_backward(_OPTIMIZERS[optimizer.kind], collection.parameters(), options)
    sharder: ModuleSharder[nn.Module] = EmbeddingBagCollectionSharder()
    ranks = placement(num_rows, dist.get_world_size())
    plan = construct_module_sharding_plan(
        collection,
        {alias[table]: table_wise(rank=rank, compute_kernel="fused") for table, rank in ranks.items()},
        sharder=sharder,
        local_size=dist.get_world_size(),
        world_size=dist.get_world_size(),
        device_type="cpu",
    )
    logging.getLogger("torch.fx._symbolic_trace").setLevel(logging.ERROR)  # It warns of a call inside torchrec.
    model = DistributedModelParallel(collection, device=torch.device("cpu"), plan=ShardingPlan({"": plan}), sharders=[sharder])
    return Sharded(model, [f"feature_{index}" for index in range(len(fields))], {short: table for table, short in alias.items()})


class Sharded(nn.Module):
    """A sharded collection behind plain tensors."""

    def __init__(self, model: DistributedModelParallel, names: list[str], tables: dict[str, str]) -> None:
        super().__init__()
        self.model = model
        self.names = names
        self.table_of = tables

    def look_up(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Ids [sum of lengths], feature-major, and lengths [F, B] -> pooled [B, F * d], in the order of the features."""
        num_rows = lengths.shape[1]
        if num_rows == 0:
            # torchrec fails without rows; yet where several ranks look up together, one without rows must take part.
            lengths = lengths.new_zeros(len(self.names), 1)
        jagged = torchrec.KeyedJaggedTensor(keys=self.names, values=ids, lengths=lengths.reshape(-1))
        pooled = self.model(jagged)
        if hasattr(pooled, "wait"):
            pooled = pooled.wait()
        if list(pooled.keys()) == self.names:
            values: Tensor = pooled.values()
        else:
            values = torch.cat([pooled[name] for name in self.names], 1)
        return values[:num_rows]

    def weights(self) -> dict[str, Tensor]:
        return {self.table_of[key.split(".")[-2]]: tensor for key, tensor in _local(self.model.state_dict()).items()}

    def optimizer_state(self) -> dict[str, Tensor]:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Please use DTensor instead", category=FutureWarning)
            state = self.model.fused_optimizer.state_dict()["state"]
        found = {key: tensor for group in state.values() for key, tensor in _local(group).items()}
        return {f"{self.table_of[key.partition('.')[0]]}.{key.partition('.')[2]}": tensor for key, tensor in found.items()}

    def set_lr(self, lr: float) -> None:
        optimizer = self.model.fused_optimizer
        for group in optimizer.param_groups:
            group["lr"] = lr
        optimizer.step()  # Hands the rate to the kernels; the tables are updated by the backward pass alone.


def _local(state: dict[str, object]) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for key, value in state.items():
        if isinstance(value, Tensor) and not hasattr(value, "local_shards"):
            found[key] = value
        else:
            for part in value.local_shards():  # type: ignore[attr-defined]
                found[key] = part.tensor
    return found
