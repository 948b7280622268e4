"""Checkpoints of pretrained audio encoders: where they are published, found, read and checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from soundwright.core.config import Config
from soundwright.core.downloads import fetch_address, hash_content
from soundwright.core.errors import CheckpointError, MissingWeightsError
from soundwright.core.files import cache_folder, hash_bytes
from soundwright.core.hub import fetch_file, first_line
from soundwright.core.pickles import read_pickle, refuse_pointer
from soundwright.scorers.keras_weights import SUFFIX as KERAS_SUFFIX
from soundwright.scorers.keras_weights import read_keras

WHAT = "audio encoder"
SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt", ".bin", ".tar", ".h5")
Rename = Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]]


@dataclass(frozen=True)
class Published:
    """One checkpoint as its authors published it."""

    address: str
    digest: str
    """Such as "sha256:9f86..."; md5 where the publisher gives no other."""
    licence: str

    @property
    def file(self) -> str:
        """Its name."""
        return unquote(self.address.rpartition("/")[2])


def load_published(
    network: nn.Module, published: Published, weights: str | None, rename: Rename = dict
) -> str:
    """Fill a network with a checkpoint and make it ready to evaluate.

    Args:
        network: Ours.
        published: What it is filled with if nothing else is asked for.
        weights: Another file (safetensors, HDF5 of Keras, or a pickle, read in safe mode), a
            folder that holds one, or owner/name of a repository on the hub; None is the published
            file, from the cache or its address.
        rename: Turns the checkpoint's names into the network's.

    Returns:
        What a metric card says of the weights: the file's name, and whether it is as published.

    Raises:
        MissingWeightsError: They are neither here nor reachable.
        CheckpointError: They are damaged, or not weights of this network.
    """
    path = _standard(published) if weights is None else _chosen(published, weights)
    try:
        network.load_state_dict(rename(read_state(path)))
    except RuntimeError as error:
        raise CheckpointError(
            f"{path} does not hold weights of {type(network).__name__}: {_fault(error)}.",
            expected=f"those of {published.file}",
        ) from error
    network.eval().requires_grad_(False)
    if weights is None or _is_published(path, published):
        return f"{published.file}, as published"
    return f"{path.name}, not {published.file} as published"


def read_state(path: Path) -> Mapping[str, Tensor]:
    """The state dictionary in a checkpoint, alone or under the key "model" or "state_dict".

    Raises:
        MissingWeightsError: What reads such files is not installed.
        CheckpointError: The file is missing, damaged, would run code, or holds something else.
    """
    if path.suffix == ".safetensors":
        refuse_pointer(path)
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise CheckpointError(
                f"{path} is damaged, or no safetensors ({first_line(error)}).",
                change="Copy or fetch the file again.",
            ) from error
    if path.suffix == KERAS_SUFFIX:
        refuse_pointer(path)
        return read_keras(path)
    held = read_pickle(path)
    for key in ("model", "state_dict"):
        if isinstance(held, Mapping) and isinstance(held.get(key), Mapping):
            held = held[key]
    if not isinstance(held, Mapping) or not held or not all(map(_is_named_tensor, held.items())):
        raise CheckpointError(f"{path} is no dictionary from names to tensors.")
    return held


def hash_weights(network: nn.Module, *configurations: Config) -> str:
    """16 hexadecimal digits that change with any weight and with any of `configurations`."""
    lines = [configuration.model_dump_json() for configuration in configurations]
    for name, tensor in sorted(network.state_dict().items()):
        content = tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy()
        lines.append(f"{name} {list(tensor.shape)} {hash_bytes(content.data)}")
    return hash_bytes("\n".join(lines).encode())[:16]


def kept_file(name: str) -> Path:
    """Where a file of weights stands in the cache, or would stand."""
    return cache_folder() / "encoders" / name


def _standard(published: Published) -> Path:
    path = kept_file(published.file)
    if not path.is_file():
        fetch_address(published.address, path, published.digest)
    elif not _is_published(path, published):
        raise CheckpointError(
            f"{path} is damaged, or not the file that was published.",
            expected=published.digest,
            change="Remove it; it is then fetched again.",
        )
    return path


def _chosen(published: Published, weights: str) -> Path:
    path = Path(weights).expanduser()
    if path.is_file():
        return path
    if not path.is_dir():
        if weights.count("/") == 1 and not weights.endswith(SUFFIXES):
            return fetch_file(weights, published.file, what=WHAT)
        raise MissingWeightsError(
            f"The weights {weights!r} are not there.",
            expected="a file, a folder, or owner/name of a repository on the Hugging Face hub",
            change=f"{published.file} is published at {published.address}.",
        )
    if (path / published.file).is_file():
        return path / published.file
    found = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES)
    if len(found) != 1:
        raise MissingWeightsError(
            f"{path} holds {len(found)} files of weights, none named {published.file}.",
            expected=f"{published.file}, or one other file",
            change=f"Fetch it from {published.address}.",
        )
    return found[0]


def _is_published(path: Path, published: Published) -> bool:
    return hash_content(path, published.digest.partition(":")[0]) == published.digest


def _is_named_tensor(item: tuple[Any, Any]) -> bool:
    return isinstance(item[0], str) and isinstance(item[1], Tensor)


def _fault(error: RuntimeError) -> str:
    lines = str(error).splitlines()
    fault = (lines[1] if len(lines) > 1 else lines[0]).strip().rstrip(". ")
    return fault if len(fault) <= 120 else f"{fault[:120]} ..."
