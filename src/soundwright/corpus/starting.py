"""The configuration that a new corpus begins with."""

from __future__ import annotations

import os
from pathlib import Path

import yaml

from soundwright.core.errors import UserError
from soundwright.core.files import write_text
from soundwright.corpus.config import CONFIG_NAME

SUFFIXES = (".yaml", ".yml")
HEAD = """\
# A corpus of Soundwright's. What this file does not say is as in the preset {preset};
# every key and its meaning: docs/corpus-keys.md. Then: soundwright corpus run {name}
"""


def write_start(
    path: Path, preset: str, *, media: Path | None, manifest: Path | None, licence: str
) -> Path:
    """Write a configuration that extends a preset.

    Args:
        path: The file, in .yaml or .yml, or the corpus's folder; must not exist.
        preset: Its name.
        media: A folder of recordings, or ...
        manifest: ... a corpus that an importer wrote.
        licence: Of all recordings, where nothing closer to one says otherwise.

    Returns:
        The file.

    Raises:
        UserError: The file exists or cannot be written; there are no such recordings.
    """
    if path.suffix.lower() not in SUFFIXES:
        path = path / CONFIG_NAME
    if path.exists():
        raise UserError(f"{path} exists already.", change="Choose another name, or remove it.")
    given = media or manifest
    assert given is not None, "the command has made sure of one"
    if not given.exists():
        raise UserError(f"{given} does not exist.", expected="a folder or manifest")
    folder = path.resolve().parent
    shown = Path(os.path.relpath(given.resolve(), folder)).as_posix()
    one = {"folder" if media else "manifest": shown, "licence": {"name": licence}}
    values = {"extends": preset, "name": folder.name, "inputs": [one]}
    head = HEAD.format(preset=preset, name=path)
    write_text(path, head + yaml.safe_dump(values, sort_keys=False, allow_unicode=True))
    return path
