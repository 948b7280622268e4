"""A text encoder that remembers, on disk and in memory, so that each caption is encoded once."""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from soundwright.core.files import hash_bytes, write_bytes
from soundwright.core.protocols import TextEncoder, TextStates

SUFFIX = ".safetensors"
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

    The folder holds, for each identity of an encoder, packs: safetensors files with the texts
    that one call had to compute, each with a checksum. Packs are written whole under a name
    made from their content's keys, so that any number of processes may share the folder. A pack
    that is damaged is removed, and its texts are computed again.

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
        self._folder = Path(folder) / hash_bytes(encoder.identity.encode())[:16]
        self._device = torch.device(device)
        self._memory_bytes = memory_bytes
        self._memory: OrderedDict[str, _Entry] = OrderedDict()
        self._used = 0
        self._index: dict[str, Path] = {}
        self._known: set[str] = set()
        self._scan()

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
        if keys - entries.keys() - self._index.keys():
            self._scan()
        by_pack: dict[Path, list[str]] = {}
        for key in sorted(keys - entries.keys()):
            if key in self._index:
                by_pack.setdefault(self._index[key], []).append(key)
        for pack, wanted in by_pack.items():
            found = self._read(pack, wanted)
            self._remember(found)
            entries |= found
        return entries

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
            self._write(made)
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

    def _write(self, entries: dict[str, _Entry]) -> None:
        tensors: dict[str, Tensor] = {}
        checksums: dict[str, str] = {}
        for key, entry in entries.items():
            tensors[f"{key}.states"] = entry.states.contiguous()
            tensors[f"{key}.sentence"] = entry.sentence.contiguous()
            checksums[key] = _checksum(entry)
        name = hash_bytes("\n".join(sorted(entries)).encode())[:32] + SUFFIX
        path = self._folder / name
        write_bytes(path, save(tensors, metadata=checksums))
        self._known.add(name)
        self._index.update(dict.fromkeys(entries, path))

    def _scan(self) -> None:
        """Take in packs that this object has not seen yet, its own or another process's."""
        for path in sorted(self._folder.glob(f"*{SUFFIX}")):
            if path.name in self._known or path.name.startswith("."):
                continue
            try:
                with safe_open(path, framework="pt") as pack:
                    keys = pack.metadata() or {}
            except FileNotFoundError:
                continue
            except SafetensorError:
                path.unlink(missing_ok=True)
                continue
            self._known.add(path.name)
            self._index.update(dict.fromkeys(keys, path))

    def _read(self, path: Path, keys: Sequence[str]) -> dict[str, _Entry]:
        """Entries of a pack; none, and the pack is forgotten, where anything is wrong with it."""
        entries: dict[str, _Entry] = {}
        try:
            with safe_open(path, framework="pt") as pack:
                checksums = pack.metadata()
                for key in keys:
                    # Out of the mapped file, which may be replaced or removed while we use it.
                    entry = _Entry(
                        pack.get_tensor(f"{key}.states").clone(),
                        pack.get_tensor(f"{key}.sentence").clone(),
                    )
                    if checksums[key] != _checksum(entry):
                        raise SafetensorError(f"checksum of {key}")
                    entries[key] = entry
        except (SafetensorError, FileNotFoundError, KeyError):
            path.unlink(missing_ok=True)
            self._known.discard(path.name)
            self._index = {key: pack for key, pack in self._index.items() if pack != path}
            return {}
        return entries


def _checksum(entry: _Entry) -> str:
    value = 0
    for tensor in (entry.states, entry.sentence):
        value = zlib.crc32(repr(tuple(tensor.shape)).encode(), value)
        value = zlib.crc32(tensor.contiguous().numpy().tobytes(), value)
    return f"{value:08x}"
