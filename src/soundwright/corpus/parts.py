"""Part files: the rows of one shard behind one stage, and the receipt that they are whole.

A stage's folder holds for shard 42 `part-00042.jsonl.gz` (rows), `part-00042.errors.jsonl` (what
could not be done), for some stages `part-00042.tar` (sound) or `part-00042.bin` (what a later
reduction reads), and `part-00042.ok`, the receipt, written last. Without a receipt nothing of a
shard counts.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from pydantic import Field, ValidationError

from soundwright.core.errors import CheckpointError
from soundwright.core.files import disk_error, hash_file, sync_file, sync_folder, write_text
from soundwright.core.records import Clip, Record
from soundwright.corpus.failures import Failure
from soundwright.corpus.records import Media
from soundwright.corpus.stage import Output

Row = TypeVar("Row", bound=Media | Clip)

ROWS, ERRORS, SOUND, BESIDE, RECEIPT = ".jsonl.gz", ".errors.jsonl", ".tar", ".bin", ".ok"
TEMPORARY = ".tmp"
SEARCH = ".search"
"""Notes of a search for the row that kills a worker, while it lasts."""
COMPRESSION = 3
"""Of gzip: near the smallest size for a third of the time of the default."""


class Counts(Record):
    """What became of the rows that a stage read from one shard."""

    read: int = 0
    written: int = 0
    failed: int = 0
    """Could not be processed; the errors name them."""
    absorbed: int = 0
    """Are no rows any more: pieces that were merged, recordings that were cut into clips, what
    `export` leaves out."""
    left_out: int = 0
    """Rows with a drop of this stage, whatever their number of drops."""
    drops: dict[str, int] = Field(default_factory=dict)
    """By reason: rows that this stage would leave out."""


class Receipt(Record):
    """That a shard is done, from what it was made, and what it holds."""

    stage: str
    key: str
    """Of the stage: its parameters, version and weights, and those of the stages before it."""
    shard: int
    upstream: str
    """What it was made from: the `content` of the shard in the stage before."""
    content: str
    """SHA-256 of the rows."""
    files: dict[str, str]
    """SHA-256 by suffix."""
    counts: Counts
    seconds: float
    """That the work took."""
    size: int
    """Bytes of all files."""


class PartFolder:
    """The folder of one stage.

    Args:
        path: Need not exist.
        key: Receipts of another one do not count.
    """

    def __init__(self, path: Path, key: str) -> None:
        self.path, self.key = Path(path), key

    def file(self, shard: int, suffix: str) -> Path:
        """One of a shard's files."""
        return self.path / f"part-{shard:05d}{suffix}"

    def receipt(self, shard: int) -> Receipt | None:
        """None where the shard is not done, or one of its files is gone or has another size."""
        try:
            found = Receipt.model_validate_json(self.file(shard, RECEIPT).read_bytes())
        except (FileNotFoundError, ValidationError):
            return None
        if found.key != self.key or found.shard != shard:
            return None
        return found if self._size(shard, found.files) == found.size else None

    def rows(self, shard: int, kind: type[Row]) -> Iterator[Row]:
        """The rows of a shard that is done, one by one.

        Raises:
            CheckpointError: They are damaged.
        """
        for line in self.lines(shard):
            try:
                row = kind.model_validate_json(line)
            except ValidationError as error:
                raise self._damaged(shard, error) from error
            yield row

    def lines(self, shard: int) -> Iterator[bytes]:
        """The rows of a shard that is done, as they are written.

        Raises:
            CheckpointError: They are damaged.
        """
        try:
            with gzip.open(self.file(shard, ROWS), "rb") as file:
                yield from file
        except (OSError, EOFError, zlib.error) as error:
            raise self._damaged(shard, error) from error

    def _damaged(self, shard: int, error: Exception) -> CheckpointError:
        return CheckpointError(
            f"{self.file(shard, ROWS)} is damaged: {str(error).splitlines()[0]}.",
            change="Remove this file's .ok file and run again.",
        )

    def failures(self, shard: int) -> Iterator[Failure]:
        """What could not be done in a shard that is done."""
        path = self.file(shard, ERRORS)
        if path.is_file():
            with path.open("rb") as file:
                for line in file:
                    yield Failure.model_validate_json(line)

    def _size(self, shard: int, suffixes: Iterable[str]) -> int | None:
        """Bytes of a shard's files together; None where one is missing."""
        try:
            return sum(self.file(shard, suffix).stat().st_size for suffix in suffixes)
        except FileNotFoundError:
            return None

    def forget(self, shard: int) -> None:
        """Let a shard be done again."""
        self.file(shard, RECEIPT).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what a killed run has left behind."""
        for suffix in (TEMPORARY, SEARCH):
            for path in self.path.glob(f"*{suffix}"):
                path.unlink(missing_ok=True)


class PartWriter(Output):
    """Writes one shard; a context manager that leaves either the whole shard or nothing.

    Args:
        folder: Of the stage.
        shard: Its number.
        stage: Name of the stage, for the errors.
    """

    def __init__(self, folder: PartFolder, shard: int, stage: str) -> None:
        self.folder, self.shard, self.stage = folder, shard, stage
        self._counts: Counter[str] = Counter()
        self._drops: Counter[str] = Counter()
        self._failures: list[Failure] = []
        self._tar: tarfile.TarFile | None = None
        self._temporary: dict[str, Path] = {}

    def __enter__(self) -> Self:
        try:
            self.folder.path.mkdir(parents=True, exist_ok=True)
            # Neither name nor time in the head, so that equal rows give equal bytes.
            self._raw = self._open(ROWS).open("wb")
            self._rows = gzip.GzipFile("", "wb", COMPRESSION, self._raw, mtime=0)
        except OSError as error:
            raise disk_error(self.folder.file(self.shard, ROWS), error) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # A full disk makes closing fail too, and the files are given up in any case.
        for file in (self._tar, self._rows, self._raw):
            try:
                if file is not None:
                    file.close()
            except OSError:
                pass
        for path in self._temporary.values():
            path.unlink(missing_ok=True)

    def keep(self, row: Media | Clip) -> None:
        """Hand a row on to the next stage."""
        reasons = [drop.reason for drop in row.drops if drop.stage == self.stage]
        self._drops.update(reasons)
        self._counts["left_out"] += bool(reasons)
        self._counts["written"] += 1
        self._write(row)

    def fail(self, failure: Failure, *, counted: bool = True) -> None:
        """Note that a row could not be processed; see `Output`."""
        self._failures.append(failure)
        self._counts["failed"] += counted

    def absorb(self, count: int = 1) -> None:
        """Note rows that have gone into others."""
        self._counts["absorbed"] += count

    def leave_out(self, reason: str) -> None:
        """Note a row that is not handed on; see `Output`."""
        self._drops[reason] += 1
        self._counts["left_out"] += 1
        self.absorb()

    def count_read(self, count: int = 1) -> None:
        """Note rows that were read."""
        self._counts["read"] += count

    def store_sound(self, name: str, content: bytes) -> tuple[str, int]:
        """Put a sound file into the shard's tar; see `Output`."""
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = len(content), 0o644
        try:
            if self._tar is None:
                self._tar = tarfile.open(  # noqa: SIM115
                    self._open(SOUND), "w", format=tarfile.USTAR_FORMAT
                )
            offset = self._tar.offset + tarfile.BLOCKSIZE
            self._tar.addfile(entry, io.BytesIO(content))
        except OSError as error:
            raise disk_error(self.folder.file(self.shard, SOUND), error) from error
        path = self.folder.file(self.shard, SOUND)
        return path.relative_to(self.folder.path.parent.parent).as_posix(), offset

    def store_beside(self, content: bytes) -> None:
        """Write one more file; see `Output`."""
        try:
            self._open(BESIDE).write_bytes(content)
        except OSError as error:
            raise disk_error(self.folder.file(self.shard, BESIDE), error) from error

    def finish(self, upstream: str, seconds: float) -> Receipt:
        """Give the files their names, then write the receipt.

        Args:
            upstream: What the shard was made from.
            seconds: That it took.

        Raises:
            UserError: The disk is full.
        """
        try:
            self._rows.close()
            self._raw.close()
            if self._tar is not None:
                self._tar.close()
            if self._failures:
                lines = (failure.model_dump_json(exclude_none=True) for failure in self._failures)
                self._open(ERRORS).write_text("".join(f"{line}\n" for line in lines), "utf-8")
            hashes = self._publish()
        except OSError as error:
            raise disk_error(self.folder.file(self.shard, ROWS), error) from error
        receipt = Receipt(
            stage=self.stage,
            key=self.folder.key,
            shard=self.shard,
            upstream=upstream,
            content=hashes[ROWS],
            files=hashes,
            counts=Counts.model_validate(
                {**self._counts, "drops": dict(sorted(self._drops.items()))}
            ),
            seconds=round(seconds, 3),
            size=sum(self.folder.file(self.shard, suffix).stat().st_size for suffix in hashes),
        )
        text = json.dumps(receipt.model_dump(mode="json"), indent=1)
        write_text(self.folder.file(self.shard, RECEIPT), text + "\n")
        return receipt

    @property
    def counts(self) -> Mapping[str, int]:
        """How many rows were read, written, failed, absorbed so far."""
        return self._counts

    def _publish(self) -> dict[str, str]:
        self.folder.forget(self.shard)
        hashes: dict[str, str] = {}
        for suffix, path in sorted(self._temporary.items()):
            sync_file(path)
            hashes[suffix] = hash_file(path)
            path.replace(self.folder.file(self.shard, suffix))
        for suffix in {ERRORS, SOUND, BESIDE} - set(hashes):
            self.folder.file(self.shard, suffix).unlink(missing_ok=True)
        self._temporary.clear()
        sync_folder(self.folder.path)
        return hashes

    def _write(self, row: Media | Clip) -> None:
        try:
            self._rows.write(row.model_dump_json(exclude_none=True).encode() + b"\n")
        except OSError as error:
            raise disk_error(self.folder.file(self.shard, ROWS), error) from error

    def _open(self, suffix: str) -> Path:
        # A worker whose driver was killed may still be writing when the next run begins.
        name = f".{self.folder.file(self.shard, suffix).name}.{os.getpid()}{TEMPORARY}"
        self._temporary[suffix] = self.folder.path / name
        return self._temporary[suffix]
