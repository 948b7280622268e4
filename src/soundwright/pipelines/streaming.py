"""A sound that is heard while it is made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Self

from torch import Tensor

from soundwright.audio.wav_stream import WavStream, check_wav_length, pour_wav
from soundwright.core.errors import UserError
from soundwright.pipelines.making import Progress
from soundwright.pipelines.sounds import Origin, tag, write_description


class SoundStream(Iterator[Tensor]):
    """Pieces [C, n] float32 of one sound, in order; made by `Model.stream`.

    Nothing is made before it is asked for. Use it once: as an iterator, with `save` or with
    `pour`.

    Args:
        origin: What is being made.
        pieces: As they come.
        frames: N, samples of each channel of the whole sound.
        channels: C.
        progress: Told which part of the sound is there.
    """

    def __init__(
        self,
        origin: Origin,
        pieces: Iterator[Tensor],
        frames: int,
        channels: int,
        progress: Progress | None = None,
    ) -> None:
        self.origin = origin
        self.frames, self.channels = frames, channels
        self.done = 0
        """Samples of each channel that were given so far."""
        self._pieces, self._progress = pieces, progress

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Tensor:
        piece = next(self._pieces)
        self.done += piece.shape[1]
        if self._progress is not None:
            self._progress(self.done / self.frames)
        return piece

    @property
    def sample_rate(self) -> int:
        """Samples a second."""
        return self.origin.sample_rate

    @property
    def duration(self) -> float:
        """Seconds of the whole sound."""
        return self.frames / self.sample_rate

    def save(self, path: Path | str) -> Path:
        """Write a WAV as it is made, and a JSON file beside it at the end.

        The file is a whole sound file at every moment and plays up to where it is; at the end it
        has the bytes that `GeneratedSound.save` writes. After an interruption (Ctrl-C, a full
        disk) it keeps what was made, and the JSON says how much that is.

        Returns:
            The path of the sound.

        Raises:
            UserError: Another suffix, a sound that no WAV can hold, or a disk that is full or
                cannot be written.
            KeyboardInterrupt: With a text that says what is there.
        """
        path = Path(path)
        self._check(path)
        with WavStream(path, self.sample_rate, self.channels) as file:
            try:
                for piece in self:
                    file.write(piece)
            except BaseException as error:
                with suppress(UserError):
                    self._close(file, path)
                if isinstance(error, KeyboardInterrupt):
                    raise KeyboardInterrupt(self._interrupted(file, path)) from error
                raise
            self._close(file, path)
        return path

    def pour(self, file: BinaryIO) -> None:
        """Write the bytes of `save` to a pipe, as they are made.

        Raises:
            UserError: A sound that no WAV can hold.
        """
        check_wav_length(self.frames, self.channels)
        described = self.origin.describe(self.duration)
        pour_wav(file, self, self.frames, self.sample_rate, self.channels, tag(described))

    def _check(self, path: Path) -> None:
        if path.suffix.lower() != ".wav":
            raise UserError(
                f"A stream cannot be written as {path.suffix or 'a file without a suffix'}.",
                expected=".wav, the format that is whole at every moment",
            )
        check_wav_length(self.frames, self.channels)

    def _close(self, file: WavStream, path: Path) -> None:
        if not file.frames:
            path.unlink(missing_ok=True)
            return
        described = self.origin.describe(file.frames / self.sample_rate)
        if file.frames < self.frames:
            described["complete"] = False
        file.finish(tag(described))
        write_description(path, described)

    def _interrupted(self, file: WavStream, path: Path) -> str:
        if not file.frames:
            return "Interrupted before the first sound."
        there = file.frames / self.sample_rate
        return (
            f"Interrupted. {path} holds the first {there:.2f} s of {self.duration:g} s and can be "
            "played."
        )
