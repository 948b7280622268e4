"""What frozen towers make of sounds, and the memory of it on disk."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from soundwright.core.errors import AudioError
from soundwright.core.files import hash_bytes
from soundwright.core.packs import Packs
from soundwright.core.progress import Meter
from soundwright.scorers.windows import check_sound

PACK_SOUNDS = 64
"""Most sounds in one file: a killed run keeps all but the last of them."""


@dataclass(frozen=True)
class Impression:
    """What towers make of one sound."""

    states: Tensor
    """[T, D]: what is heard, frame by frame; no frame of digital silence."""
    vector: Tensor | None = None
    """[V]: the sound as a whole, of CLAP."""


@dataclass(frozen=True)
class Heard:
    """What towers make of a batch of sounds."""

    states: Tensor
    """[B, T, D] fp32; zero where the mask is False."""
    mask: Tensor
    """[B, T] bool."""
    vector: Tensor | None = None
    """[B, V] fp32; None where there is no CLAP."""

    def to(self, device: torch.device) -> Heard:
        """The same on a device."""
        vector = None if self.vector is None else self.vector.to(device)
        return Heard(self.states.to(device), self.mask.to(device), vector)


class Towers(Protocol):
    """What a captioner hears with: an audio tower, and CLAP or what stands for it. Frozen."""

    @property
    def identity(self) -> str:
        """Changes whenever what is heard would: the key of what is remembered."""
        ...

    @property
    def sample_rate(self) -> int:
        """At which it wants sounds."""
        ...

    @property
    def longest(self) -> float:
        """Seconds that it hears at once; of a longer sound it hears the beginning."""
        ...

    def listen(self, waveforms: Sequence[Tensor]) -> list[Impression]:
        """What it hears in mono sounds [N]; of each the same, whatever the others are."""
        ...


def join_sounds(sounds: Sequence[Impression]) -> Heard:
    """Sounds as one batch."""
    states = [sound.states.float() for sound in sounds]
    lengths = torch.tensor([len(rows) for rows in states])
    joined = pad_sequence(states, batch_first=True)
    mask = torch.arange(joined.shape[1]) < lengths[:, None]
    vectors = [sound.vector.float() for sound in sounds if sound.vector is not None]
    return Heard(joined, mask, torch.stack(vectors) if vectors else None)


class Memory:
    """What towers have heard, on disk in fp16, so that no sound is heard twice.

    Any number of processes may share the folder. Sounds are known by the hash of their samples.

    Args:
        towers: Asked when a sound is new.
        folder: Where packs lie; made when needed.
        memory_mb: Most of what is also kept in memory.
    """

    def __init__(self, towers: Towers, folder: Path, memory_mb: int = 2048) -> None:
        self._towers = towers
        self._packs = Packs(
            Path(folder) / hash_bytes(towers.identity.encode())[:16], ("states", "vector")
        )
        self._kept: OrderedDict[str, Impression] = OrderedDict()
        self._room = memory_mb << 20
        # Batches are read by several threads.
        self._lock = Lock()

    def fill(self, waveforms: Mapping[str, Callable[[], Tensor]]) -> dict[str, AudioError]:
        """Hear those of the sounds that are new.

        Args:
            waveforms: Hash of the samples to what reads them, mono [N] at the towers' rate.

        Returns:
            Why sounds could not be read, by their hashes.

        Raises:
            UserError: The folder cannot be written.
        """
        unread: dict[str, AudioError] = {}
        new = [key for key in waveforms if key not in self._packs]
        if not new:
            return unread
        with Meter("listen", len(new), unit="sound") as meter:
            for first in range(0, len(new), PACK_SOUNDS):
                keys = new[first : first + PACK_SOUNDS]
                sounds: dict[str, Tensor] = {}
                for key in keys:
                    try:
                        sounds[key] = check_sound(waveforms[key]())
                    except AudioError as error:
                        unread[key] = error
                if sounds:
                    heard = self._towers.listen(list(sounds.values()))
                    self._packs.write(dict(zip(sounds, map(_entry, heard), strict=True)))
                meter.advance(len(keys))
        return unread

    def read(self, keys: Sequence[str]) -> list[Impression]:
        """What was heard in sounds that `fill` has seen.

        Raises:
            KeyError: One that it has not, or whose file was damaged since.
        """
        with self._lock:
            for key, entry in self._packs.walk(set(keys) - self._kept.keys()):
                self._kept[key] = Impression(entry["states"], entry.get("vector"))
                self._room -= _size(self._kept[key])
            missing = set(keys) - self._kept.keys()
            if missing:
                raise KeyError(f"{len(missing)} sounds have not been heard, such as {min(missing)}")
            found = [self._kept[key] for key in keys]
            while self._room < 0 and self._kept:
                _, sound = self._kept.popitem(last=False)
                self._room += _size(sound)
        return found


def _entry(sound: Impression) -> dict[str, Tensor]:
    entry = {"states": sound.states.half().cpu()}
    return entry if sound.vector is None else {**entry, "vector": sound.vector.float().cpu()}


def _size(sound: Impression) -> int:
    return sound.states.nbytes + (0 if sound.vector is None else sound.vector.nbytes)
