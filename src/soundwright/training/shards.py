"""Tensors that are divided over ranks, on the disk: `torch.distributed.checkpoint` on safetensors.

Every rank writes its own parts into a file of its own. Reading needs neither the same number of
ranks nor the same division, and runs no pickle.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, distributed

from soundwright.core import files
from soundwright.core.errors import CheckpointError
from soundwright.core.ranks import Ranks


def is_divided(tensor: Tensor) -> bool:
    """Whether this rank has only a part of a tensor."""
    return hasattr(tensor, "to_local")


def local_part(tensor: Tensor) -> Tensor:
    """What this rank has of a tensor."""
    take = getattr(tensor, "to_local", None)
    return tensor if take is None else take()


def divide_like(value: Tensor, like: Tensor | None) -> Tensor:
    """A whole tensor, which all ranks have, laid over the ranks as `like` is; None leaves it."""
    if like is None or not is_divided(like) or is_divided(value) or value.shape != like.shape:
        return value
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(like, DTensor)
    # Without a source each rank takes its part of its own copy, and nothing is sent.
    return distribute_tensor(
        value.to(like.device), like.device_mesh, like.placements, src_data_rank=None
    )


def write_shards(folder: Path, tensors: Mapping[str, Tensor], ranks: Ranks) -> dict[str, str]:
    """Write divided tensors, each rank its own parts; all ranks call it, connected.

    Args:
        folder: The same for all ranks, on a file system that all of them share.
        tensors: By name.
        ranks: Those of the run.

    Returns:
        The hash of each file by its name, of all ranks' files.

    Raises:
        CheckpointError: A rank could not write; all ranks raise it.
    """
    from torch.distributed.checkpoint.api import CheckpointException
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter
    from torch.distributed.checkpoint.state_dict_saver import save

    writer = HuggingFaceStorageWriter(str(folder), save_distributed=True)
    try:
        save(dict(tensors), storage_writer=writer)
    except CheckpointException as error:
        rank, (cause, _) = next(iter(error.failures.items()))
        raise CheckpointError(
            f"Rank {rank} could not write its part of the checkpoint: {cause}",
            change="Free some space. The run's folder must lie on a file system that the machines "
            "of all ranks share.",
        ) from error
    own = folder.glob(f"shard-{ranks.rank + 1:05d}-*")
    hashes = {path.name: files.hash_file(path) for path in own}
    return {name: value for part in ranks.gather(hashes) for name, value in part.items()}


def read_shards(folder: Path, into: Mapping[str, Tensor]) -> None:
    """Fill tensors, divided or whole, with what was written under their names.

    Divided ones are read by all ranks together, each its own parts.
    """
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader
    from torch.distributed.checkpoint.state_dict_loader import load

    together = distributed.is_initialized() and any(map(is_divided, into.values()))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        load(
            dict(into),
            storage_reader=HuggingFaceStorageReader(str(folder)),
            no_dist=not together,
        )


def empty_tensors(folder: Path) -> dict[str, Tensor]:
    """A whole tensor without content, on no device, for each name that was written."""
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader
    from torch.distributed.checkpoint.metadata import TensorStorageMetadata

    found = HuggingFaceStorageReader(str(folder)).read_metadata().state_dict_metadata
    return {
        name: torch.empty(entry.size, dtype=entry.properties.dtype, device="meta")
        for name, entry in found.items()
        if isinstance(entry, TensorStorageMetadata)
    }
