"""What a stage has finished, noted as it goes, so that a killed run goes on where it stood."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from soundwright.core.errors import UserError
from soundwright.core.files import disk_error, sync_folder


class Journal:
    """A file of JSON lines that only grows; what was noted is on the disk.

    A line that a kill has torn is cut off. Use it as a context manager.

    Args:
        path: The file; made when needed.
        fingerprint: Of all that the noted work follows from.
    """

    def __init__(self, path: Path, fingerprint: str) -> None:
        self.path = path
        self.entries: list[dict[str, Any]] = []
        """What is noted, in its order."""
        self._fingerprint = fingerprint

    def __enter__(self) -> Self:
        """Open the file and read what an earlier run has noted.

        Raises:
            UserError: It is the journal of other work, or cannot be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("ab+")
            sync_folder(self.path.parent)
        except OSError as error:
            raise disk_error(self.path, error) from error
        try:
            self._recover()
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def append(self, entry: dict[str, Any]) -> None:
        """Note a piece of work, as JSON values.

        Raises:
            UserError: The disk is full.
        """
        self._write(entry)
        self.entries.append(entry)

    def _recover(self) -> None:
        self._file.seek(0)
        whole, end = [], 0
        for line in self._file:
            note = _parse(line)
            if note is None:
                break
            whole.append(note)
            end += len(line)
        if whole and whole[0] != {"fingerprint": self._fingerprint}:
            raise UserError(
                f"{self.path} tells of work on something else, or with other settings.",
                change="Choose another --out, or remove the file to begin anew.",
            )
        self._file.truncate(end)
        if not whole:
            self._write({"fingerprint": self._fingerprint})
        self.entries = whole[1:]

    def _write(self, entry: dict[str, Any]) -> None:
        try:
            line = json.dumps(entry, ensure_ascii=False, allow_nan=False) + "\n"
            self._file.write(line.encode())
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise disk_error(self.path, error) from error


def journal_of(path: Path) -> Path:
    """The journal of the work whose result will be `path`."""
    return path.with_name(path.name + ".journal")


def _parse(line: bytes) -> dict[str, Any] | None:
    """None for a line that is not whole."""
    if not line.endswith(b"\n"):
        return None
    try:
        note = json.loads(line)
    except (UnicodeDecodeError, json.JSONDecodeError):
        return None
    return note if isinstance(note, dict) else None
