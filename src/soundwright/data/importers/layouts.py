"""The data sets that can be imported, by the names that people call their layouts."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType

from soundwright.core.errors import UserError, nearest
from soundwright.data.importers.audiocaps import import_audiocaps
from soundwright.data.importers.audioset import import_audioset
from soundwright.data.importers.autorecap import import_autorecap
from soundwright.data.importers.bbc import import_bbc
from soundwright.data.importers.clotho import import_clotho
from soundwright.data.importers.esc import import_esc
from soundwright.data.importers.folder import Columns, FolderImportConfig, import_folder
from soundwright.data.importers.free_to_use_sounds import import_free_to_use_sounds
from soundwright.data.importers.fsd50k import import_fsd50k
from soundwright.data.importers.music import import_music
from soundwright.data.importers.musiccaps import import_musiccaps
from soundwright.data.importers.reports import Imported
from soundwright.data.importers.vggsound import import_vggsound
from soundwright.data.importers.wavcaps import import_wavcaps


def _import_folder(
    folder: Path,
    *,
    table: Path | None = None,
    caption_columns: Sequence[str] | None = None,
    file_column: str | None = None,
    columns: Mapping[str, str] | None = None,
    dataset: str = "",
    split: str = "",
    licence: str = "unknown",
    strict: bool = False,
    workers: int = 0,
) -> Imported:
    """A folder with a table; see `FolderImportConfig` for what the parameters mean."""
    config = FolderImportConfig(
        dataset=dataset,
        table=table,
        columns=Columns(
            file=file_column,
            captions=tuple(caption_columns) if caption_columns else None,
            **(columns or {}),
        ),
        split=split,
        licence=licence,
    )
    return import_folder(folder, config, strict=strict, workers=workers)


LAYOUTS: Mapping[str, Callable[..., Imported]] = MappingProxyType(
    {
        "folder": _import_folder,
        "audiocaps": import_audiocaps,
        "audioset": import_audioset,
        "autorecap": import_autorecap,
        "bbc": import_bbc,
        "clotho": import_clotho,
        "esc10": partial(import_esc, subset="esc10"),
        "esc50": partial(import_esc, subset="esc50"),
        "free-to-use-sounds": import_free_to_use_sounds,
        "fsd50k": import_fsd50k,
        "music": import_music,
        "musiccaps": import_musiccaps,
        "vggsound": import_vggsound,
        "wavcaps": import_wavcaps,
    }
)
"""Each takes a folder, `strict`, `workers`, and those options that are its parameters."""


def find_importer(layout: str) -> Callable[..., Imported]:
    """The importer of a layout.

    Raises:
        UserError: There is no such layout.
    """
    if layout not in LAYOUTS:
        raise UserError(
            f"There is no layout {layout!r}; {nearest(layout, LAYOUTS)}",
            expected="one of " + ", ".join(LAYOUTS),
        )
    return LAYOUTS[layout]


def options_of(importer: Callable[..., Imported]) -> frozenset[str]:
    """The parameters of an importer that not all of them have."""
    return frozenset(inspect.signature(importer).parameters) - {"folder", "strict", "workers"}
