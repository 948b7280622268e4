"""The files of sounds that were made, and of sounds that were sent.

Their paths are made of ids that the server has drawn, never of what a request says.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from soundwright.core.files import disk_error, hash_file, write_bytes


class Shelf:
    """A folder of files.

    Args:
        folder: Of the server's state.
    """

    def __init__(self, folder: Path) -> None:
        self._sounds, self._uploads = folder / "sounds", folder / "uploads"

    def place(self, job: str, number: int, suffix: str) -> Path:
        """Where a sound of a job lies, or will."""
        return self._sounds / job / f"{number}.{suffix}"

    def put(self, job: str, number: int, suffix: str, content: bytes) -> None:
        """Write a sound, whole or not at all, without waiting for the disk.

        What a power cut leaves of it has another size than the store says, and can be made again.

        Raises:
            UserError: The disk is full or cannot be written.
        """
        path = self.place(job, number, suffix)
        fresh = path.with_name(f".{path.name}.new")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_bytes(content)
            fresh.replace(path)
        except OSError as error:
            fresh.unlink(missing_ok=True)
            raise disk_error(path, error) from error

    def measure(self, job: str, number: int, suffix: str) -> os.stat_result | None:
        """A sound's file as the system describes it; None where it is not there."""
        try:
            return self.place(job, number, suffix).stat()
        except OSError:
            return None

    def place_upload(self, identity: str) -> Path:
        """Where an upload lies, or will."""
        return self._uploads / identity

    def put_upload(self, identity: str, content: bytes) -> str:
        """Write an upload.

        Returns:
            SHA-256 of it.

        Raises:
            UserError: The disk is full or cannot be written.
        """
        path = self.place_upload(identity)
        write_bytes(path, content)
        return hash_file(path)

    def remove(self, job: str) -> None:
        """Remove the sounds of a job."""
        shutil.rmtree(self._sounds / job, ignore_errors=True)

    def remove_upload(self, identity: str) -> None:
        """Remove an upload."""
        self.place_upload(identity).unlink(missing_ok=True)
