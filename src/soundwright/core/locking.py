"""One process at a time in a folder; the lock of one that was killed does not remain."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from soundwright.core.errors import UserError
from soundwright.core.files import disk_error


@contextmanager
def lock_folder(root: Path) -> Iterator[None]:
    """Hold the folder's lock for a block.

    Raises:
        UserError: Another process holds it, or the disk is full or cannot be written.
    """
    path = root / ".lock"
    try:
        root.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise disk_error(path, error) from error
    try:
        if not _try_lock(descriptor):
            raise UserError(
                f"Another run is at work in {root}.", change="Wait for its end, or interrupt it."
            )
        yield
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    """The system gives the lock up when the process ends, however it ends."""
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
