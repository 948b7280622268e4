"""Adapter folders: what fine-tuning with LoRA leaves behind, and how it finds its base again.

A folder holds `adapter.json` (the base's name and hash, the adapter's configuration, a hash of
each file), `adapter.safetensors` and `card.md`. It is small, and useless without its base.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from soundwright.core.errors import UserError
from soundwright.core.files import hash_bytes, write_json, write_text
from soundwright.core.records import Record
from soundwright.nn.lora import LoraConfig, merge_lora
from soundwright.pipelines.folders import (
    folder_replaced,
    hash_files,
    read_described,
    verify_files,
)
from soundwright.pipelines.models import (
    ADAPTER_FILE,
    CARD_FILE,
    ModelRecord,
    find_model,
    list_models,
)
from soundwright.pipelines.storage import Storage, read_weights, write_weights

FORMAT_VERSION = 1
WEIGHTS_FILE = "adapter.safetensors"

AdapterChoice = str | Path | tuple[str | Path, float]
"""An adapter's folder, alone or with how much of it is wanted; 1 is all."""


class Base(Record):
    """The model that an adapter is for."""

    name: str
    """What loads it: a name, a folder, or owner/name on the hub."""
    hash: str


class AdapterRecord(Record):
    """What `adapter.json` says."""

    format_version: int
    name: str
    base: Base
    adapter: dict[str, Any]
    """Configuration: kind, rank, alpha and so on."""
    storage: Storage
    licence: str
    recipe: dict[str, Any]
    """The resolved recipe of the training run."""
    files: dict[str, str]
    """File name to SHA-256."""

    @property
    def hash(self) -> str:
        """Identity of the adapter, 16 hex digits: base, configuration and weights."""
        identity = {
            "base": self.base.hash,
            "adapter": self.adapter,
            "weights": self.files[WEIGHTS_FILE],
        }
        return hash_bytes(json.dumps(identity, sort_keys=True).encode())[:16]


@dataclass(frozen=True)
class Adapter:
    """An adapter as it is wanted."""

    folder: Path
    record: AdapterRecord
    weight: float = 1.0
    """How much of it."""

    @property
    def label(self) -> str:
        """Name with weight, where that is not 1."""
        return self.record.name if self.weight == 1 else f"{self.weight:g} {self.record.name}"

    def describe(self) -> dict[str, Any]:
        """As JSON values."""
        return {"name": self.record.name, "hash": self.record.hash, "weight": self.weight}


def write_adapter(
    folder: Path,
    *,
    name: str,
    base: Base,
    config: LoraConfig,
    weights: Mapping[str, Tensor],
    recipe: Mapping[str, Any],
    licence: str,
    card: str,
    storage: Storage = "fp32",
) -> AdapterRecord:
    """Write an adapter folder, whole or not at all; one that stood there before is replaced."""
    with folder_replaced(folder) as inside:
        write_weights(inside / WEIGHTS_FILE, weights, storage)
        write_text(inside / CARD_FILE, card)
        record = AdapterRecord(
            format_version=FORMAT_VERSION,
            name=name,
            base=base,
            adapter=config.plain(),
            storage=storage,
            licence=licence,
            recipe=dict(recipe),
            files=hash_files(inside),
        )
        write_json(inside / ADAPTER_FILE, record.model_dump(mode="json"))
    return record


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter instead of a model."""
    return (folder / ADAPTER_FILE).is_file()


def read_adapter(folder: Path) -> AdapterRecord:
    """Read `adapter.json` of a folder, without looking at the weights.

    Raises:
        UserError: The folder holds no adapter.
        CheckpointError: It is damaged, or of a newer format.
    """
    if not is_adapter(folder):
        raise UserError(
            f"{folder} holds no adapter.",
            expected=f"a folder with {ADAPTER_FILE}, such as RUN/model of `train finetune-lora`",
        )
    return read_described(folder / ADAPTER_FILE, AdapterRecord, FORMAT_VERSION)


def verify_adapter(folder: Path) -> AdapterRecord:
    """Read the record and compare the hash of every file with it.

    Raises:
        UserError: As `read_adapter`.
        CheckpointError: Names the first file that is missing or differs.
    """
    record = read_adapter(folder)
    verify_files(folder, record.files)
    return record


def name_base(name: str, record: ModelRecord) -> Base:
    """How an adapter remembers a model that was loaded as `name`."""
    folder = Path(name).expanduser()
    is_folder = name not in list_models() and folder.is_dir()
    return Base(name=str(folder.absolute()) if is_folder else name, hash=record.hash)


def parse_choice(text: str) -> AdapterChoice:
    """Read DIR or DIR:WEIGHT."""
    folder, separator, weight = text.rpartition(":")
    if not separator or Path(text).expanduser().exists():
        return text
    try:
        return folder, float(weight)
    except ValueError:
        return text


def gather_adapters(
    name: str | Path, choices: Iterable[AdapterChoice] = ()
) -> tuple[str | Path, tuple[Adapter, ...]]:
    """What `name` and adapters on top of it stand for.

    Args:
        name: Of a model, or of an adapter, which stands for its base with itself.
        choices: Further adapters.

    Returns:
        The name of the model below, and all adapters.

    Raises:
        UserError: Something is not there, or a weight is no number.
        CheckpointError: An adapter is damaged.
    """
    wanted = [choice if isinstance(choice, tuple) else (choice, 1.0) for choice in choices]
    folder = find_model(name)
    if is_adapter(folder):
        wanted.insert(0, (folder, 1.0))
    adapters = tuple(_open(where, weight) for where, weight in wanted)
    if not is_adapter(folder):
        return name, adapters
    base = adapters[0].record.base
    try:
        return find_model(base.name), adapters
    except UserError as error:
        raise UserError(
            f"The base of the adapter {name} is not here. {error.problem}",
            expected=f"the model {base.hash} as {base.name}",
            change=f"Give its place: --model DIR --adapter {name}",
        ) from error


def check_base(adapters: Sequence[Adapter], base: ModelRecord) -> None:
    """Refuse adapters that were trained on another model.

    Raises:
        UserError: Names both hashes.
    """
    for adapter in adapters:
        wanted = adapter.record.base
        if wanted.hash != base.hash:
            raise UserError(
                f"The adapter {adapter.record.name} was trained on another model: on "
                f"{wanted.name} ({wanted.hash}), not on {base.name} ({base.hash}).",
                change=f"Give that model (--model {wanted.name}), or an adapter for this one.",
            )


def add_adapters(weights: Mapping[str, Tensor], adapters: Sequence[Adapter]) -> dict[str, Tensor]:
    """The weights of a language model with adapters merged into them.

    Raises:
        CheckpointError: An adapter does not fit.
    """
    merged = dict(weights)
    for adapter in adapters:
        origin = f"The adapter {adapter.folder}"
        config = LoraConfig.read(adapter.record.adapter, origin=origin)
        added = read_weights(adapter.folder / WEIGHTS_FILE)
        merged = merge_lora(merged, added, config.scale * adapter.weight, origin)
    return merged


def _open(where: str | Path, weight: float) -> Adapter:
    if not math.isfinite(weight):
        raise UserError(f"The adapter {where} cannot be added {weight} times.")
    folder = find_model(where)
    return Adapter(folder, verify_adapter(folder), weight)
