"""The Hugging Face hub, and the switch that forbids the network to it and to `downloads`."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from soundwright.core.errors import MissingWeightsError

OFFLINE_VARIABLE = "SOUNDWRIGHT_OFFLINE"
TIMEOUT_S = 10.0
PRETRAINED_FILES = ("*.safetensors", "*.json", "*.model", "*.txt")
PICKLED_WEIGHTS = "pytorch_model*.bin"


def network_forbidden() -> bool:
    """Whether the environment variable SOUNDWRIGHT_OFFLINE or HF_HUB_OFFLINE is set."""
    return any(
        os.environ.get(name, "0").lower() not in ("", "0", "false", "no")
        for name in (OFFLINE_VARIABLE, "HF_HUB_OFFLINE")
    )


def fetch_folder(
    name: str, files: Sequence[str], *, revision: str | None = None, what: str = "model"
) -> Path:
    """The folder of a repository of the hub: from the local cache, else from the network.

    Args:
        name: owner/name on the hub.
        files: Patterns of the files that are needed. Pickled weights come only where a
            repository has no safetensors.
        revision: Commit, tag or branch; None is the newest that the cache has.
        what: What is looked for, such as "text encoder", for the message.

    Raises:
        MissingWeightsError: It is not in the cache, and the network is forbidden or does not
            give it.
    """
    from huggingface_hub import HfApi, snapshot_download

    try:
        folder = Path(snapshot_download(name, revision=revision, local_files_only=True))
        if any(fnmatch.filter((file.name for file in folder.iterdir()), "*.json")):
            return folder
    except (OSError, ValueError):
        pass  # Not in the cache, or no name that the hub could know; the network decides.
    if network_forbidden():
        raise missing(what, name, "is not in the cache, and the network is forbidden")
    try:
        # Asked once and quickly: without network, a download repeats itself for a minute.
        found = HfApi().model_info(name, revision=revision, timeout=TIMEOUT_S)
        there = [file.rfilename for file in found.siblings or ()]
        safe = fnmatch.filter(there, "*.safetensors")
        wanted = [*files] if safe else [*files, PICKLED_WEIGHTS]
        return Path(snapshot_download(name, revision=found.sha, allow_patterns=wanted))
    # The hub's client has changed its HTTP library, and with it the errors, between versions.
    except Exception as error:
        raise missing(what, name, f"cannot be loaded: {first_line(error)}") from error


def fetch_file(name: str, file: str, *, what: str = "model") -> Path:
    """One file of a repository of the hub: from the local cache, else from the network.

    Args:
        name: owner/name on the hub.
        file: Its path within the repository.
        what: What is looked for, such as "audio encoder", for the message.

    Raises:
        MissingWeightsError: It is not in the cache, and the network is forbidden or does not
            give it.
    """
    from huggingface_hub import HfApi, hf_hub_download

    try:
        return Path(hf_hub_download(name, file, local_files_only=True))
    except (OSError, ValueError):
        pass  # As in `fetch_folder`.
    if network_forbidden():
        raise missing(what, name, "is not in the cache, and the network is forbidden")
    try:
        found = HfApi().model_info(name, timeout=TIMEOUT_S)
        return Path(hf_hub_download(name, file, revision=found.sha))
    except Exception as error:
        raise missing(what, name, f"gives no {file}: {first_line(error)}") from error


def missing(what: str, name: str, problem: str) -> MissingWeightsError:
    """The error for weights that are not here; `problem` continues "The <what> <name> ..."."""
    return MissingWeightsError(
        f"The {what} {name!r} {problem}.",
        expected="the name of a model on the Hugging Face hub, or a local folder with its files",
        change=f"On a machine with network: hf download {name} --local-dir FOLDER. Bring FOLDER "
        "here and give its path as the name.",
    )


@contextmanager
def quiet_loading() -> Iterator[None]:
    """A block in which transformers reports errors only, without bars of its own."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def first_line(error: Exception) -> str:
    """The first line of an error's text, without a full stop, or its kind if it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(". ")
