"""The text encoder that a model carries in its folder, as transformers writes one."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from soundwright.core.errors import CheckpointError, MissingWeightsError
from soundwright.core.hub import PICKLED_WEIGHTS, PRETRAINED_FILES

TEXT_FOLDER = "text_encoder"
"""Inside a model's folder, and there the name of the encoder in the settings."""
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "spiece.model",
)
VOCABULARIES = ("tokenizer.json", "spiece.model")
"""One of these a tokenizer needs."""


def name_text_encoder(settings: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A model's settings with another name of the text encoder."""
    text = settings["text"]
    return {**settings, "text": {**text, "encoder": {**text["encoder"], "name": name}}}


def copier_of(settings: Mapping[str, Any]) -> Callable[[Path], None] | None:
    """What copies the text encoder of a model's settings into a new folder.

    None where the encoder is no folder: it comes from its package, or from the hub by name.
    """
    encoder = settings.get("text", {}).get("encoder", {})
    source = Path(encoder.get("name") or ".").expanduser()
    if encoder.get("kind") != "t5" or not source.is_dir():
        return None
    return lambda target: copy_text_encoder(source, target)


def copy_text_encoder(source: Path, target: Path) -> None:
    """Copy what decides on the states of a text encoder: its identity stays the same.

    Pickled weights are copied only where there are no safe ones.

    Raises:
        CheckpointError: It has no configuration.
    """
    if not (source / "config.json").is_file():
        raise CheckpointError(f"{source} is no text encoder: it has no config.json.")
    there = [path for pattern in PRETRAINED_FILES for path in source.glob(pattern)]
    if not any(path.suffix == ".safetensors" for path in there):
        there += source.glob(PICKLED_WEIGHTS)
    copy_files(there, target)


def copy_tokenizer(source: Path, target: Path) -> None:
    """Copy the files of a tokenizer.

    Raises:
        MissingWeightsError: There is none.
    """
    there = [source / name for name in TOKENIZER_FILES if (source / name).is_file()]
    if not any(path.name in VOCABULARIES for path in there):
        raise MissingWeightsError(
            f"{source} has no tokenizer.",
            expected=f"{' or '.join(VOCABULARIES)} beside config.json",
            change="Fetch the whole folder, or give a folder of the text encoder (such as "
            "t5-base) with --text-encoder.",
        )
    copy_files(there, target)


def copy_files(files: Iterable[Path], target: Path) -> None:
    """Copy files into a folder, which is made if need be."""
    target.mkdir(exist_ok=True)
    for path in sorted(set(files)):
        shutil.copyfile(path, target / path.name)
