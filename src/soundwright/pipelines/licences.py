"""The terms of weights, as the README of a folder on the hub states and carries them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

README = "README.md"
META = "CC-BY-NC-4.0"
"""Of the MusicGen and AudioGen weights that Meta has published."""
UNKNOWN = f"unknown; Meta's MusicGen and AudioGen weights are {META}"

_BY_META = ("facebook/musicgen", "facebook/audiogen")
_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "apache-2.0": "Apache-2.0",
        "cc-by-4.0": "CC-BY-4.0",
        "cc-by-nc-4.0": META,
        "cc-by-sa-4.0": "CC-BY-SA-4.0",
        "cc0-1.0": "CC0-1.0",
        "mit": "MIT",
    }
)
"""The hub's words, and SPDX's."""


def read_licence(folder: Path, source: str) -> str:
    """What the README in a folder states; for Meta's own models what is known of them.

    Args:
        folder: Where the weights are.
        source: What was asked for: a path, or a name on the hub.
    """
    stated = _front_matter(folder / README)
    licence = str(stated.get("license") or "")
    if licence == "other" and stated.get("license_name"):
        return str(stated["license_name"])
    if licence:
        return _NAMES.get(licence, licence)
    return META if source.startswith(_BY_META) else UNKNOWN


def write_readme(name: str, licence: str, facts: str) -> str:
    """A README for the hub.

    Args:
        name: Of the model.
        licence: Its terms.
        facts: Markdown on what it is.
    """
    words = {theirs: ours for ours, theirs in _NAMES.items()}
    if licence in words:
        stated = {"license": words[licence]}
    else:
        stated = {"license": "other", "license_name": licence}
    head = yaml.safe_dump(stated, sort_keys=False, allow_unicode=True)
    return f"---\n{head}---\n\n# {name}\n\n{facts}\n"


def _front_matter(path: Path) -> Mapping[str, Any]:
    """The YAML between the first two lines "---" of a file; empty where there is none."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return {}
    parts = text.split("---\n", 2)
    if len(parts) < 3 or parts[0].strip():
        return {}
    try:
        values = yaml.safe_load(parts[1])
    except yaml.YAMLError:
        return {}
    return values if isinstance(values, dict) else {}
