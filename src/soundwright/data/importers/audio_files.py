"""The audio files below a folder, found again by the names that tables use for them."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Iterable
from pathlib import Path, PurePosixPath

from soundwright.audio.files import READABLE
from soundwright.core.errors import UserError
from soundwright.data.clips import Skip


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
        if beside.suffix.lower() in READABLE and beside.is_file():
            return [beside]
        found = self._by_name.get(slashed.as_posix()) or self._by_name.get(slashed.name, [])
        return list(found)

    def find_one(
        self, name: str, where: str, *, own: Collection[str] = (), foreign: Collection[str] = ()
    ) -> Path | Skip:
        """The one file that `name` means, or why there is none: `missing` or `ambiguous`.

        Args:
            name: As for `find`.
            where: The row that names it.
            own: Folders of the part of the data set that the row is about.
            foreign: Folders of other parts: a file of that name in one of these is not meant.
        """
        found = [path for path in self.find(name) if self._belongs(path, own, foreign)]
        if len(found) == 1:
            return found[0]
        if not found:
            return Skip(where, "missing", f"there is no file {name!r}")
        among = ", ".join(str(path) for path in found[:3])
        return Skip(where, "ambiguous", f"{name!r} may be any of {among}")

    def find_first(self, names: Iterable[str]) -> Path | None:
        """The file of the first name that means exactly one.

        Args:
            names: File names without folder and suffix, the most exact first.
        """
        for name in names:
            found = self._by_name.get(name, ())
            if len(found) == 1:
                return found[0]
        return None

    def _belongs(self, path: Path, own: Collection[str], foreign: Collection[str]) -> bool:
        inside = path.relative_to(self.folder) if path.is_relative_to(self.folder) else path
        folders = set(inside.parts[:-1])
        return not folders.isdisjoint(own) or folders.isdisjoint(foreign)

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
