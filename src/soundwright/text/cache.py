"""A text encoder that remembers, on disk and in memory, so that each caption is encoded once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from soundwright.core.files import hash_bytes
from soundwright.core.packs import Packs
from soundwright.core.protocols import TextEncoder, TextStates

MEMORY_BYTES = 256 << 20
PACK_TEXTS = 256
"""Most texts in one file: opening it stays quick, and a killed run keeps what it has."""


@dataclass(frozen=True)
class _Entry:
    states: Tensor
    """[S, D] of the valid positions only."""
    sentence: Tensor
    """[D]."""

    @property
    def size(self) -> int:
        return self.states.nbytes + self.sentence.nbytes


class CachedTextEncoder:
    """A `TextEncoder` in front of another one, with the same states bit for bit.

    The folder holds packs (`core.packs`) for each identity of an encoder; any number of processes
    may share it.

    Args:
        encoder: The encoder that is asked when a text is new.
        folder: Where packs lie; made when needed.
        device: Where the states come out.
        memory_bytes: Most bytes of states that are also kept in memory.
    """

    def __init__(
        self,
        encoder: TextEncoder,
        folder: Path,
        device: torch.device | str = "cpu",
        memory_bytes: int = MEMORY_BYTES,
    ) -> None:
        self._encoder = encoder
        self._packs = Packs(
            Path(folder) / hash_bytes(encoder.identity.encode())[:16], ("states", "sentence")
        )
        self._device = torch.device(device)
        self._memory_bytes = memory_bytes
        self._memory: OrderedDict[str, _Entry] = OrderedDict()
        self._used = 0

    @property
    def width(self) -> int:
        """D."""
        return self._encoder.width

    @property
    def identity(self) -> str:
        """The identity of the encoder behind."""
        return self._encoder.identity

    def encode(self, texts: Sequence[str]) -> TextStates:
        """Encode texts as the encoder behind does; only new texts reach it.

        Raises:
            UserError: The folder cannot be written.
        """
        keys = [hash_bytes(text.encode())[:32] for text in texts]
        entries = self._recall(set(keys))
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in entries}
        if new:
            entries |= self._compute(new)
        return self._join([entries[key] for key in keys])

    def _recall(self, keys: set[str]) -> dict[str, _Entry]:
        entries: dict[str, _Entry] = {}
        for key in sorted(keys & self._memory.keys()):
            self._memory.move_to_end(key)
            entries[key] = self._memory[key]
        missing = keys - entries.keys()
        if any(key not in self._packs for key in missing):
            self._packs.scan()
        found = {key: _Entry(**entry) for key, entry in self._packs.read(missing).items()}
        self._remember(found)
        return entries | found

    def _compute(self, texts: dict[str, str]) -> dict[str, _Entry]:
        entries: dict[str, _Entry] = {}
        # By length, so that the texts of a pack suit one forward pass.
        keys = sorted(texts, key=lambda key: (len(texts[key]), key))
        for begin in range(0, len(keys), PACK_TEXTS):
            pack = keys[begin : begin + PACK_TEXTS]
            result = self._encoder.encode([texts[key] for key in pack])
            rows = zip(pack, result.states, result.mask, result.sentence, strict=True)
            made = {
                key: _Entry(states[mask].cpu(), sentence.cpu())
                for key, states, mask, sentence in rows
            }
            self._packs.write(
                {
                    key: {"states": entry.states, "sentence": entry.sentence}
                    for key, entry in made.items()
                }
            )
            self._remember(made)
            entries |= made
        return entries

    def _join(self, entries: Sequence[_Entry]) -> TextStates:
        length = max((len(entry.states) for entry in entries), default=0)
        states = torch.zeros(len(entries), max(1, length), self.width)
        mask = torch.zeros(states.shape[:2], dtype=torch.bool)
        sentence = torch.zeros(len(entries), self.width)
        for row, entry in enumerate(entries):
            states[row, : len(entry.states)] = entry.states
            mask[row, : len(entry.states)] = True
            sentence[row] = entry.sentence
        device = self._device
        return TextStates(states.to(device), mask.to(device), sentence.to(device))

    def _remember(self, entries: dict[str, _Entry]) -> None:
        for key, entry in entries.items():
            if key not in self._memory:
                self._memory[key] = entry
                self._used += entry.size
        while self._used > self._memory_bytes:
            _, oldest = self._memory.popitem(last=False)
            self._used -= oldest.size
