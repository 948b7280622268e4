"""METEOR, SPICE and FENSE's parts through aac-metrics, where it and all that it needs are there.

Nothing is downloaded here: `aac-metrics-download` fetches the files. Whatever is missing is named.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from huggingface_hub import try_to_load_from_cache

from soundwright.evaluation.captioning.results import MetricScores
from soundwright.evaluation.results import Unavailable

Tool = Literal["meteor", "spice", "sbert_sim", "fer"]

JAVA = range(8, 14)
"""Major versions with which aac-metrics runs METEOR and SPICE."""
DOWNLOAD = "aac-metrics-download fetches it"
JAVA_FILES = {
    "meteor": ("meteor/meteor-1.5.jar", "meteor/data/paraphrase-en.gz"),
    "spice": (
        "spice/spice-1.0.jar",
        "spice/cache",
        "spice/lib/stanford-corenlp-3.6.0.jar",
        "spice/lib/stanford-corenlp-3.6.0-models.jar",
    ),
}
"""Below `aac-metrics` in its cache."""
SENTENCES = "sentence-transformers/paraphrase-TinyBERT-L6-v2"
ERROR_CHECKER = "echecker_clotho_audiocaps_base.ckpt"
ERROR_KEY = "fluency_error.error_prob"
FAILURES = (ImportError, OSError, RuntimeError, ValueError, subprocess.SubprocessError)
"""What a package that is there, with its files, may still end in."""


class Call(NamedTuple):
    """How a function of aac-metrics is called, and where its numbers stand in what it returns."""

    options: dict[str, Any]
    takes_references: bool
    key: str


CALLS: dict[Tool, Call] = {
    "meteor": Call({}, True, "meteor"),
    "spice": Call({}, True, "spice"),
    "sbert_sim": Call({}, True, "sbert_sim"),
    "fer": Call({"return_probs": True}, False, ERROR_KEY),
}


def measure(
    tool: Tool, candidates: Sequence[str], references: Sequence[Sequence[str]]
) -> MetricScores | Unavailable:
    """Let aac-metrics score captions.

    Args:
        tool: Its function. `fer` gives the probability that a caption has an error of fluency.
        candidates: Captions.
        references: Of each caption.

    Returns:
        The scores, or the exact reason why there are none.
    """
    missing = what_is_missing(tool)
    if missing:
        return Unavailable(reason=missing)
    call = CALLS[tool]
    given: list[Any] = [list(candidates)]
    if call.takes_references:
        given.append([list(others) for others in references])
    try:
        function = getattr(import_module("aac_metrics.functional"), tool)
        corpus, items = function(*given, **call.options)
    except FAILURES as error:
        return Unavailable(reason=f"{tool} of aac-metrics failed: {type(error).__name__}: {error}")
    numbers = [float(item) for item in items[call.key]]
    without = int((~np.isfinite(numbers)).sum())
    if without:
        return Unavailable(reason=f"{tool} of aac-metrics gave no number for {without} captions.")
    return MetricScores(float(corpus[call.key]), tuple(numbers))


def what_is_missing(tool: Tool) -> str:
    """Why a tool cannot run on this machine; empty where nothing is missing."""
    if find_spec("aac_metrics") is None:
        return (
            "The package aac-metrics is not installed; pip install 'soundwright[captioning]' "
            "brings it."
        )
    if tool in JAVA_FILES:
        return missing_java() or missing_files(java_files(tool))
    if tool == "fer":
        return missing_files([error_checker()])
    if not isinstance(try_to_load_from_cache(SENTENCES, "config.json"), str):
        return f"The model {SENTENCES} is not in the hub's cache; {DOWNLOAD}."
    return ""


def missing_java() -> str:
    """Why Java cannot be used; empty where it can."""
    java = os.environ.get("AAC_METRICS_JAVA_PATH", "java")
    wanted = f"Java {JAVA.start} to {JAVA.stop - 1}; AAC_METRICS_JAVA_PATH can name it"
    try:
        said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    except OSError:
        return f"There is no {java!r}, and it needs {wanted}."
    version = re.search(r'version "(?:1\.)?(\d+)', said.stderr + said.stdout)
    if version is None:
        return f"{java!r} does not say its version, and it needs {wanted}."
    if int(version[1]) not in JAVA:
        return f"{java!r} is Java {version[1]}, and it needs {wanted}."
    return ""


def java_files(tool: str) -> Iterator[Path]:
    """The files that METEOR or SPICE needs."""
    cache = Path(os.environ.get("AAC_METRICS_CACHE_PATH", "~/.cache")).expanduser()
    return (cache / "aac-metrics" / name for name in JAVA_FILES[tool])


def error_checker() -> Path:
    """Where FENSE keeps the weights of its error checker."""
    folder = os.environ.get("FENSE_DATA")
    beside = Path(torch.hub.get_dir()) / "fense_data"
    return (Path(folder).expanduser() if folder else beside) / ERROR_CHECKER


def missing_files(files: Iterator[Path] | Sequence[Path]) -> str:
    """Which file is not there; empty where all are."""
    for path in files:
        if not path.exists():
            return f"{path} is missing; {DOWNLOAD}."
    return ""
