"""The samples of a corpus's clips, read from the tars of its shards."""

from __future__ import annotations

import io
from pathlib import Path

import soundfile
import torch

from soundwright.audio.sound import Sound
from soundwright.core.errors import AudioError
from soundwright.core.records import Clip
from soundwright.data.manifest import Header, Manifest, clip_bytes


class ClipSounds:
    """Reads clips; those that follow each other in one sound cost one decoding.

    Args:
        root: The corpus's folder.
    """

    def __init__(self, root: Path) -> None:
        self._corpus = Manifest(Header(), (), root)
        self._held: tuple[str, int | None] | None = None
        self._sound: Sound | None = None

    def read(self, clip: Clip) -> Sound:
        """The samples of a clip as they were stored, [C, N].

        Raises:
            AudioError: The tar is missing, cut off, or holds something else.
        """
        whole = self._read_whole(clip)
        begin = round(clip.location.start * whole.sample_rate)
        end = begin + round(clip.duration * whole.sample_rate)
        if end > whole.samples.shape[1]:
            raise AudioError(
                f"Clip {clip.id} in {clip.location.path} ends early.", reason="truncated"
            )
        return Sound(whole.samples[:, begin:end], whole.sample_rate)

    @property
    def held_duration(self) -> float:
        """Seconds of the sound that the last clip was cut from."""
        return self._sound.duration if self._sound else 0.0

    def _read_whole(self, clip: Clip) -> Sound:
        place = (clip.location.path, clip.location.offset)
        if self._held != place or self._sound is None:
            try:
                self._sound = decode_sound(self.read_bytes(clip))
            except soundfile.LibsndfileError as error:
                raise AudioError(
                    f"The sound of clip {clip.id} in {clip.location.path} is damaged: "
                    f"{error.error_string}",
                    reason="not-audio",
                ) from error
            self._held = place
        return self._sound

    def read_bytes(self, clip: Clip) -> bytes:
        """The sound file that holds a clip.

        Raises:
            AudioError: The tar is missing or cut off.
        """
        return clip_bytes(self._corpus, clip)


def decode_sound(content: bytes) -> Sound:
    """A sound file in memory.

    Raises:
        soundfile.LibsndfileError: It is damaged.
    """
    samples, rate = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
    return Sound(torch.from_numpy(samples.T.copy()), rate)
