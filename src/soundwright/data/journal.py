"""The journal of an encoding run: what is safely on the disk, so that a killed run continues.

Frames are appended to `tokens.npy.part` or `latents.npy.part`, and what is in it is noted in
`journal.jsonl`, always after the frames have reached the disk. A run that finds a journal cuts the
frames back to what it says and goes on behind.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from torch import Tensor

from soundwright.core.errors import UserError
from soundwright.core.files import disk_error, sync_folder
from soundwright.data.store import FrameInfo, Skipped

COMMIT_INTERVAL_S = 1.0


def journal_path(folder: Path) -> Path:
    """Where the journal of a store lies until the store is finished."""
    return folder / "journal.jsonl"


class FrameJournal:
    """The growing file of frames, and the note of what is safely in it.

    Attributes:
        done: Number of clips dealt with.
        frames: Frames by clip id, in the order of the file.
        skipped: Clips without frames.
    """

    def __init__(self, folder: Path, info: FrameInfo, fingerprint: str) -> None:
        self.folder, self.info, self.fingerprint = folder, info, fingerprint
        self.path = journal_path(folder)
        self.finished = folder / info.file_name
        self.part = folder / f"{info.file_name}.part"
        self.done = 0
        self.frames: dict[str, int] = {}
        self.skipped: list[Skipped] = []
        self._total = 0
        self._waiting: list[bytes] = []
        self._committed = time.monotonic()

    def __enter__(self) -> Self:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with ExitStack() as opened:
                self._notes = opened.enter_context(self.path.open("ab+"))
                notes = self._read_notes()
                if notes and self.finished.is_file():
                    # Killed between the renaming of the file and the index.
                    self.finished.replace(self.part)
                mode = "rb+" if self.part.is_file() else "wb+"
                self._rows = opened.enter_context(self.part.open(mode))
                self._recover(notes)
                opened.pop_all()
        except OSError as error:
            raise disk_error(self.folder, error) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if not self._rows.closed:
                self._commit()
        except OSError as failure:
            if error is None:
                raise disk_error(self.folder, failure) from failure
        finally:
            self._rows.close()
            self._notes.close()

    def append(self, frames: Mapping[str, Tensor], skipped: Sequence[Skipped]) -> None:
        """Add the frames [T, width] of the next clips, and those that are skipped among them."""
        note = {
            "frames": {clip_id: len(rows) for clip_id, rows in frames.items()},
            "skipped": [asdict(item) for item in skipped],
        }
        try:
            for rows in frames.values():
                self._rows.write(rows.numpy().astype(self.info.dtype).tobytes())
            self._waiting.append(_note_line(note))
            self._count(note)
            if time.monotonic() - self._committed > COMMIT_INTERVAL_S:
                self._commit()
        except OSError as error:
            raise disk_error(self.folder, error) from error

    def finish(self) -> None:
        """Complete the file of frames and give it its name."""
        try:
            self._commit()
            self._rows.seek(0)
            self._write_header(self._total)
            self._rows.flush()
            os.fsync(self._rows.fileno())
            self._rows.close()
            self.part.replace(self.finished)
            sync_folder(self.folder)
        except OSError as error:
            raise disk_error(self.folder, error) from error

    def _read_notes(self) -> list[bytes]:
        """The lines of an earlier run, its fingerprint first; the last may be torn."""
        self._notes.seek(0)
        lines = self._notes.readlines()
        if not lines or not lines[0].endswith(b"\n"):
            return []
        if lines[0] != _note_line({"fingerprint": self.fingerprint}):
            raise other_store(self.folder, self.info)
        return lines

    def _recover(self, notes: Sequence[bytes]) -> None:
        """Take up what both files agree on, and cut off the rest."""
        self._write_header(0)
        header_end = self._rows.tell()
        there = self._rows.seek(0, os.SEEK_END) - header_end
        row_size = self.info.width * self.info.dtype.itemsize
        kept = len(notes[0]) if notes else 0
        for line in notes[1:]:
            if not line.endswith(b"\n"):
                break
            note = json.loads(line)
            if (self._total + sum(note["frames"].values())) * row_size > there:
                break
            self._count(note)
            kept += len(line)
        self._notes.truncate(kept)
        if not notes:
            self._notes.write(_note_line({"fingerprint": self.fingerprint}))
        self._rows.truncate(header_end + self._total * row_size)
        self._rows.seek(0, os.SEEK_END)

    def _count(self, note: dict[str, Any]) -> None:
        self.frames.update(note["frames"])
        self._total += sum(note["frames"].values())
        self.skipped += [Skipped(**item) for item in note["skipped"]]
        self.done += len(note["frames"]) + len(note["skipped"])

    def _commit(self) -> None:
        if self._waiting:
            self._rows.flush()
            os.fsync(self._rows.fileno())
            self._notes.write(b"".join(self._waiting))
            self._notes.flush()
            os.fsync(self._notes.fileno())
        self._waiting.clear()
        self._committed = time.monotonic()

    def _write_header(self, frames: int) -> None:
        # numpy leaves room in the header for the first axis to grow, so its size stays.
        np.lib.format.write_array_header_1_0(
            self._rows,
            {
                "descr": np.lib.format.dtype_to_descr(self.info.dtype),
                "fortran_order": False,
                "shape": (frames, self.info.width),
            },
        )


def _note_line(note: dict[str, Any]) -> bytes:
    return json.dumps(note, ensure_ascii=False).encode() + b"\n"


def other_store(folder: Path, info: FrameInfo) -> UserError:
    """The error for a folder that holds other frames than the wanted ones."""
    return UserError(
        f"{folder} holds the {info.kind}s of other clips, of another codec or of other settings.",
        change="Choose another folder, or remove this one.",
    )
