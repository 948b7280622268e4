"""Model folders: what a trained system leaves behind, and how it is found, checked and read.

A folder holds `model.json` (what rebuilds every part, with a hash of each file), one safetensors
file per part (`lm.safetensors`, `codec.safetensors` ...) and `card.md` for people. A text encoder
that came as a folder lies in `text_encoder/`, as transformers writes it, so that the model is
whole without the hub.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from torch import Tensor

from soundwright.core.errors import CheckpointError, MissingWeightsError, UserError, nearest
from soundwright.core.files import (
    cache_folder,
    hash_bytes,
    hash_file,
    write_json,
    write_text,
)
from soundwright.core.hub import fetch_folder
from soundwright.core.records import Record
from soundwright.pipelines.folders import (
    folder_replaced,
    hash_files,
    read_described,
    verify_files,
)
from soundwright.pipelines.recipe import list_recipes
from soundwright.pipelines.storage import Storage, read_weights, write_weights
from soundwright.pipelines.text_folders import TEXT_FOLDER, copier_of, name_text_encoder
from soundwright.pipelines.weight_files import stream_weights

Kind = Literal["lm", "codec", "vae", "mel_codec", "diffusion", "language", "captioner"]
FORMAT_VERSION = 1
BUNDLED = "bundled"
BUNDLED_DIFFUSION = "bundled-diffusion"
BUNDLED_CAPTIONER = "bundled-captioner"
SHIPPED = {
    BUNDLED: "bundled-lm",
    BUNDLED_DIFFUSION: "bundled-diffusion",
    BUNDLED_CAPTIONER: "bundled-captioner",
}
"""Names of the models inside the package, and the recipe of each."""
RECORD_FILE = "model.json"
CARD_FILE = "card.md"
ADAPTER_FILE = "adapter.json"
"""What an adapter's folder has in the place of `RECORD_FILE`; see `adapters`."""

FOREIGN_FILES = ("config.json", "state_dict.bin", "compression_state_dict.bin")
"""What transformers' and AudioCraft's models have, and ours do not."""

_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


class ModelRecord(Record):
    """What `model.json` says."""

    format_version: int
    kind: Kind
    name: str
    storage: Storage
    licence: str
    """Under which terms the weights may be used."""
    parts: dict[str, dict[str, Any]]
    """Part name, such as lm or codec, to the configuration that rebuilds it."""
    settings: dict[str, Any]
    """Further facts that belong to the model: text encoder, text preparation, generation
    defaults."""
    recipe: dict[str, Any]
    """The resolved recipe of the training run."""
    files: dict[str, str]
    """File name, within the folder, to SHA-256."""

    @property
    def carries_text_encoder(self) -> bool:
        """Whether the folder holds the text encoder too.

        The encoder's name in a record that was read from a folder is then where it lies; in
        `model.json` it is `TEXT_FOLDER`.
        """
        return f"{TEXT_FOLDER}/config.json" in self.files

    @property
    def portable(self) -> ModelRecord:
        """The record without the place that it was read from: what `model.json` says."""
        return self._with_text_encoder(TEXT_FOLDER) if self.carries_text_encoder else self

    def found_in(self, folder: Path) -> ModelRecord:
        """The record with the text encoder that the folder carries under its path."""
        if not self.carries_text_encoder:
            return self
        return self._with_text_encoder(str((folder / TEXT_FOLDER).absolute()))

    def _with_text_encoder(self, name: str) -> ModelRecord:
        return self.model_copy(update={"settings": name_text_encoder(self.settings, name)})

    @property
    def hash(self) -> str:
        """Identity of the model, 16 hex digits: parts, settings and weights, not name or card."""
        identity = {
            "parts": self.parts,
            "settings": self.portable.settings,
            "files": {name: digest for name, digest in self.files.items() if name != CARD_FILE},
        }
        return hash_bytes(json.dumps(identity, sort_keys=True).encode())[:16]


def write_model(
    folder: Path,
    *,
    kind: Kind,
    name: str,
    parts: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Tensor]]],
    settings: Mapping[str, Any],
    recipe: Mapping[str, Any],
    licence: str,
    card: str,
    storage: Storage | Mapping[str, Storage] = "fp32",
    text_encoder: Callable[[Path], None] | None = None,
    texts: Mapping[str, str] = MappingProxyType({}),
) -> ModelRecord:
    """Write a model folder, whole or not at all; one that stood there before is replaced.

    A text encoder whose name in `settings` is a folder is copied into the model's.

    Args:
        folder: Where to.
        kind: What the model is.
        name: What it calls itself.
        parts: Part name to its configuration and its state dictionary; the last one is what gave
            the model its kind. A dictionary that is no `dict` is written tensor by tensor as it
            gives them, so that no more than one is in memory.
        settings: See `ModelRecord.settings`.
        recipe: The resolved recipe it was trained by.
        licence: Terms of the weights.
        card: Markdown for people.
        storage: How weights are stored: all, or those of each part.
        text_encoder: Writes the text encoder into a new folder; None where there is no other
            than that of `settings`.
        texts: Further files by name, such as a tokenizer.
    """
    text_encoder = text_encoder or copier_of(settings)
    if text_encoder is not None:
        settings = name_text_encoder(settings, TEXT_FOLDER)
    stored: dict[str, Storage] = dict(storage) if isinstance(storage, Mapping) else {}
    if not isinstance(storage, Mapping):
        stored = dict.fromkeys(parts, storage)
    with folder_replaced(folder) as inside:
        for part, (_, weights) in parts.items():
            _write_part(inside / f"{part}.safetensors", weights, stored[part])
        if text_encoder is not None:
            text_encoder(inside / TEXT_FOLDER)
        for file, text in {**texts, CARD_FILE: card}.items():
            write_text(inside / file, text)
        record = ModelRecord(
            format_version=FORMAT_VERSION,
            kind=kind,
            name=name,
            storage=stored[list(parts)[-1]],
            licence=licence,
            parts={part: dict(configuration) for part, (configuration, _) in parts.items()},
            settings=dict(settings),
            recipe=dict(recipe),
            files=hash_files(inside),
        )
        write_json(inside / RECORD_FILE, record.model_dump(mode="json"))
    return record.found_in(folder)


def read_record(folder: Path) -> ModelRecord:
    """Read `model.json` of a folder, without looking at the weights.

    Raises:
        CheckpointError: The folder holds no model, or one of a newer format.
    """
    path = folder / RECORD_FILE
    if not path.is_file():
        raise _no_model(folder)
    return read_described(path, ModelRecord, FORMAT_VERSION).found_in(folder)


def verify_model(folder: Path) -> ModelRecord:
    """Read the record and compare the hash of every file with it.

    Raises:
        CheckpointError: Names the first file that is missing or differs.
    """
    record = read_record(folder)
    verify_files(folder, record.files)
    return record


def read_part(folder: Path, part: str) -> dict[str, Tensor]:
    """State dictionary of one part, in fp32."""
    return read_weights(folder / f"{part}.safetensors")


def read_card(folder: Path) -> str:
    """The card of a model, in Markdown.

    Raises:
        CheckpointError: It is missing or is not text.
    """
    try:
        return (folder / CARD_FILE).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"The card {folder / CARD_FILE} cannot be read: {error}") from error


def write_card(folder: Path, card: str) -> ModelRecord:
    """Replace the card of a model; its hash stays the same."""
    record = read_record(folder)
    write_text(folder / CARD_FILE, card)
    files = {**record.files, CARD_FILE: hash_file(folder / CARD_FILE)}
    record = record.model_copy(update={"files": files})
    write_json(folder / RECORD_FILE, record.portable.model_dump(mode="json"))
    return record


def list_models() -> dict[str, Path]:
    """Models that can be loaded by name without the network: the bundled and installed ones.

    Installed models are folders below `models/` of the cache folder.
    """
    found: dict[str, Path] = {}
    for name in SHIPPED:
        if (bundled_folder(name) / RECORD_FILE).is_file():
            found[name] = bundled_folder(name)
    installed = cache_folder() / "models"
    if installed.is_dir():
        for folder in sorted(installed.iterdir()):
            if (folder / RECORD_FILE).is_file():
                found[folder.name] = folder
    return found


def find_model(name: str | Path) -> Path:
    """The folder of a model given by name, by folder, or by its name on the Hugging Face hub.

    Raises:
        UserError: There is no such model.
        MissingWeightsError: It exists, but its weights are not here and cannot be fetched.
    """
    known = list_models()
    if str(name) in known:
        return known[str(name)]
    if str(name) in SHIPPED:
        raise MissingWeightsError(
            f"This copy of Soundwright has no bundled model: {bundled_folder(str(name))} is empty.",
            change=f"Take a complete copy, or train it: soundwright train {SHIPPED[str(name)]}.",
        )
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if _HUB_NAME.fullmatch(str(name)):
        files = (RECORD_FILE, ADAPTER_FILE, CARD_FILE, "*.safetensors", f"{TEXT_FOLDER}/*")
        return fetch_folder(str(name), files)
    if str(name) in list_recipes():
        raise UserError(
            f"There is no model {str(name)!r} here; there is a recipe of that name.",
            change=f"Train it (soundwright train {name}), then take runs/{name}/model.",
        )
    raise UserError(
        f"There is no model {str(name)!r}: {nearest(str(name), {*known, *SHIPPED})}",
        expected="a name from `soundwright models list`, a model folder, or owner/name of the hub",
    )


def bundled_folder(name: str = BUNDLED) -> Path:
    """Where a model that ships inside the package stands."""
    return Path(__file__).parent / name.replace("-", "_")


def _no_model(folder: Path) -> CheckpointError:
    if (folder / ADAPTER_FILE).is_file():
        return CheckpointError(
            f"{folder} holds an adapter, which is no model without its base.",
            change=f"Merge them first: soundwright models merge {folder} --out DIR",
        )
    foreign = [name for name in FOREIGN_FILES if (folder / name).is_file()]
    if foreign:
        return CheckpointError(
            f"{folder} holds {foreign[0]} and no {RECORD_FILE}: it is a model of another library.",
            change=f"Import it first: soundwright models import {folder}",
        )
    return CheckpointError(
        f"{folder} holds no model.",
        expected=f"a folder with {RECORD_FILE}, such as RUN/model of a finished training run",
    )


def _write_part(path: Path, weights: Mapping[str, Tensor], storage: Storage) -> None:
    if isinstance(weights, dict) or storage == "int8":
        write_weights(path, weights, storage)
    else:
        stream_weights(path, weights, storage, f"write {path.name}")
