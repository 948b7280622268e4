"""Weights that Keras saved as HDF5, where h5py is installed."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from soundwright.core.errors import CheckpointError, MissingWeightsError
from soundwright.core.hub import first_line

SUFFIX = ".h5"


def read_keras(path: Path) -> Mapping[str, Tensor]:
    """The weights by "layer/weight", such as "conv2d_1/kernel", in the order of the layers.

    Raises:
        MissingWeightsError: h5py is not installed.
        CheckpointError: The file is damaged, or holds something else.
    """
    try:
        h5py = import_module("h5py")
    except ImportError as error:
        raise MissingWeightsError(
            f"{path} cannot be read without h5py.", change="pip install h5py"
        ) from error
    try:
        with h5py.File(path, "r") as file:
            # A model that was saved whole keeps its weights in a group.
            return _weights(file.get("model_weights", file))
    except (OSError, KeyError, ValueError, TypeError, RuntimeError, AttributeError) as error:
        raise CheckpointError(
            f"{path} is damaged, or holds no weights of Keras ({first_line(error)}).",
            change="Copy or fetch the file again; unpack it if it is compressed.",
        ) from error


def _weights(root: Any) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for layer in map(_text, root.attrs["layer_names"]):
        for weight in map(_text, root[layer].attrs["weight_names"]):
            name = weight.rpartition("/")[2].partition(":")[0]
            found[f"{layer}/{name}"] = torch.from_numpy(np.array(root[layer][weight]))
    return found


def _text(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else name
