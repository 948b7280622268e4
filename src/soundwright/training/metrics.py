"""Where a run's numbers go: one JSON line a record, and TensorBoard."""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

from soundwright.core import files
from soundwright.core.errors import UserError

Kind = Literal["train", "validation", "samples", "alarm"]
Scalars = Mapping[str, float]


class MetricSink(Protocol):
    """Something that keeps records."""

    def write(self, step: int, kind: Kind, values: Mapping[str, Any]) -> None:
        """Keep one record; `step` is the number of steps done."""
        ...

    def close(self) -> None:
        """Write what is pending."""
        ...


class JsonLines:
    """Records as lines of a file, each written whole in one call.

    Args:
        path: The file; records that it has are kept up to the step `done`.
        done: Steps that the run has done. A killed run may have logged more than its
            checkpoint knows; those steps will come again.
    """

    def __init__(self, path: Path, done: int) -> None:
        self._path = Path(path)
        if self._path.exists():
            kept = [record for record in read_records(path) if 0 < record["step"] <= done]
            files.write_text(path, "".join(map(_line, kept)))

    def write(self, step: int, kind: Kind, values: Mapping[str, Any]) -> None:
        """Append one record."""
        line = _line({"step": step, "kind": kind, **values}).encode()
        try:
            with self._path.open("ab", buffering=0) as file:
                if file.write(line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise files.disk_error(self._path, error) from error

    def close(self) -> None:
        """Nothing is pending."""


class TensorBoard:
    """Scalars for TensorBoard, tagged "train/loss"; the package must be installed."""

    def __init__(self, folder: Path, done: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=done + 1)

    def write(self, step: int, kind: Kind, values: Mapping[str, Any]) -> None:
        """Add the record's numbers."""
        for name, value in values.items():
            if isinstance(value, int | float):
                self._writer.add_scalar(f"{kind}/{name}", value, step)

    def close(self) -> None:
        """Flush and close the event file."""
        self._writer.close()


def open_sinks(
    records: Path, board: Path, done: int, *, tensorboard: bool | Literal["auto"]
) -> list[MetricSink]:
    """The sinks of a run: JSON lines always, TensorBoard if wanted.

    Args:
        records: The file of JSON lines.
        board: TensorBoard's folder.
        done: Steps that the run has done; later records are dropped.
        tensorboard: "auto" takes it where it is installed.

    Raises:
        UserError: TensorBoard is asked for and not installed.
    """
    sinks: list[MetricSink] = [JsonLines(records, done)]
    if tensorboard is False:
        return sinks
    try:
        sinks.append(TensorBoard(board, done))
    except ImportError as error:
        if tensorboard is True:
            raise UserError(
                "TensorBoard is asked for, but it is not installed.",
                change='Install it with pip install "soundwright[train]", or set tensorboard to '
                "auto.",
            ) from error
    return sinks


def read_records(path: Path) -> list[dict[str, Any]]:
    """The records of a file of JSON lines; a last line that was cut off is left out.

    Raises:
        UserError: A line is not JSON.
    """
    lines = Path(path).read_bytes().split(b"\n")[:-1]
    try:
        return [json.loads(line) for line in lines]
    except ValueError as error:
        raise UserError(
            f"{path} holds a line that is not JSON: {error}",
            change="Mend or remove the file; a run resumes without it.",
        ) from error


def _line(record: Mapping[str, Any]) -> str:
    # JSON has no NaN: a value that is none becomes null.
    plain = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in record.items()
    }
    return json.dumps(plain, ensure_ascii=False) + "\n"
