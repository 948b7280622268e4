"""The folder of a small network: weights in fp16, and a description with its configuration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from soundwright.core.config import Config
from soundwright.core.errors import CheckpointError
from soundwright.core.files import folder_atomic, hash_bytes, read_json, write_bytes, write_json

WEIGHTS_FILE = "model.safetensors"

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class FolderFormat:
    """How networks of one kind stand in folders."""

    format: str
    """Name of the format, such as soundwright-tagger."""
    version: int
    description_file: str
    what: str
    """For messages: "a tagger"."""

    def write(
        self, folder: Path, network: nn.Module, config: Config, notes: dict[str, Any] | None
    ) -> None:
        """Write weights in fp16 and a description to a new folder.

        Args:
            folder: Must not exist.
            network: What is saved.
            config: Its configuration.
            notes: Plain values to keep beside the configuration: how it was trained, scores.

        Raises:
            UserError: The folder exists or cannot be written.
        """
        weights = half_precision(network)
        description = {
            "format": self.format,
            "version": self.version,
            "config": config.plain(),
            "weights_sha256": hash_bytes(weights),
            "notes": notes or {},
        }
        with folder_atomic(folder) as building:
            write_bytes(building / WEIGHTS_FILE, weights)
            write_json(building / self.description_file, description)

    def read(self, folder: Path, build: Callable[[dict[str, Any]], Network]) -> Network:
        """Read what `write` wrote; the weights become fp32 and the network evaluates.

        Args:
            folder: The network's folder.
            build: Makes the network of its configuration's plain values.

        Raises:
            CheckpointError: Another kind, a newer format, or damaged weights.
            UserError: The description is missing or is not JSON.
        """
        description = read_json(folder / self.description_file)
        self._check(description, folder)
        try:
            weights = (folder / WEIGHTS_FILE).read_bytes()
        except OSError as error:
            raise CheckpointError(f"{folder / WEIGHTS_FILE} cannot be read.") from error
        if hash_bytes(weights) != description["weights_sha256"]:
            raise CheckpointError(
                f"{folder / WEIGHTS_FILE} is damaged: its hash is not the one that was saved.",
                change="Copy or download the folder again.",
            )
        network = build(description["config"])
        try:
            network.load_state_dict(load(weights))
        except (RuntimeError, SafetensorError) as error:
            raise CheckpointError(
                f"The weights in {folder} do not fit the configuration beside them."
            ) from error
        return network.eval()

    def _check(self, description: Any, folder: Path) -> None:
        wanted = {"format", "version", "config", "weights_sha256"}
        if not isinstance(description, dict) or not wanted <= description.keys():
            raise CheckpointError(
                f"{folder / self.description_file} does not describe {self.what}."
            )
        if description["format"] != self.format:
            raise CheckpointError(
                f"{folder} holds {description['format']!r}.", expected=f"a folder of {self.format}"
            )
        if description["version"] != self.version:
            raise CheckpointError(
                f"{folder} has format version {description['version']!r}.",
                expected=f"version {self.version}",
                change="Update soundwright.",
            )


def half_precision(network: nn.Module) -> bytes:
    """All weights of a network as safetensors, floating ones in fp16."""
    return save(
        {
            name: value.half().contiguous() if value.is_floating_point() else value
            for name, value in network.state_dict().items()
        }
    )


def identity_of(network: nn.Module, config: Config) -> str:
    """Changes with any weight, at the precision of folders, and with the configuration."""
    weights = hash_bytes(half_precision(network))
    return hash_bytes(f"{weights} {config.model_dump_json()}".encode())[:16]
