"""The audio files below a folder, found again by the names that tables use for them."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path, PurePosixPath

from soundwright.audio.files import READABLE
from soundwright.core.errors import UserError


class AudioFiles:
    """Every audio file below `folder`, in sorted order; hidden files are left out.

    Raises:
        UserError: There is no such folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise UserError(f"{folder} is not a folder.", expected="a folder with sound files")
        self.paths = tuple(sorted(self._walk()))
        self._by_name: dict[str, list[Path]] = defaultdict(list)
        for path in self.paths:
            relative = path.relative_to(self.folder)
            names = (relative.as_posix(), relative.with_suffix("").as_posix(), path.name, path.stem)
            for name in dict.fromkeys(names):
                self._by_name[name].append(path)

    def find(self, name: str) -> list[Path]:
        """The files that `name` may mean: none, one, or several where it is ambiguous.

        A name is a path relative to the folder, or only its last part, with or without the
        suffix, with slashes either way, or an absolute path.
        """
        if Path(name).is_absolute():
            return [Path(name)] if Path(name).is_file() else []
        slashed = PurePosixPath(name.replace("\\", "/"))
        beside = self.folder / slashed
        if beside.is_file() and beside.suffix.lower() in READABLE:
            return [beside]
        found = self._by_name.get(slashed.as_posix()) or self._by_name.get(slashed.name, [])
        return list(found)

    def _walk(self) -> list[Path]:
        found: list[Path] = []
        for folder, folders, names in os.walk(self.folder):
            folders[:] = [name for name in folders if not name.startswith(".")]
            found += [
                Path(folder) / name
                for name in names
                if not name.startswith(".") and Path(name).suffix.lower() in READABLE
            ]
        return found
