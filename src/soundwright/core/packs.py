"""Packs: files of tensors by key, for caches that many processes share and a kill cannot harm.

A pack is a safetensors file with the entries that one piece of work had to compute, each with a
checksum. It is written whole, under a name made from its keys. A pack that is damaged is removed,
and whoever asks computes its entries again.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from soundwright.core.files import hash_bytes, write_bytes

SUFFIX = ".safetensors"

Entry = Mapping[str, Tensor]
"""Tensors by name."""


class Packs:
    """The entries in one folder, from this process and from others.

    Args:
        folder: Where packs lie; made when needed.
        names: Of the tensors of an entry, in the order in which checksums take them; an entry may
            lack some. Without dots.
    """

    def __init__(self, folder: Path, names: tuple[str, ...]) -> None:
        self._folder = Path(folder)
        self._names = names
        self._index: dict[str, Path] = {}
        self._known: set[str] = set()
        self.scan()

    def __contains__(self, key: object) -> bool:
        return key in self._index

    def scan(self) -> None:
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

    def read(self, keys: Iterable[str]) -> dict[str, dict[str, Tensor]]:
        """Those of the entries that are there, whole and undamaged."""
        return dict(self.walk(keys))

    def walk(self, keys: Iterable[str]) -> Iterator[tuple[str, dict[str, Tensor]]]:
        """The same one by one, with one pack's in memory at a time."""
        by_pack: dict[Path, list[str]] = {}
        for key in sorted(set(keys)):
            if key in self._index:
                by_pack.setdefault(self._index[key], []).append(key)
        for path, wanted in by_pack.items():
            yield from self._read_pack(path, wanted).items()

    def write(self, entries: Mapping[str, Entry]) -> None:
        """Write entries as one pack, atomically.

        Raises:
            UserError: The folder cannot be written.
        """
        tensors = {
            f"{key}.{name}": tensor.contiguous()
            for key, entry in entries.items()
            for name, tensor in entry.items()
        }
        checksums = {key: self._checksum(entry) for key, entry in entries.items()}
        file = hash_bytes("\n".join(sorted(entries)).encode())[:32] + SUFFIX
        path = self._folder / file
        write_bytes(path, save(tensors, metadata=checksums))
        self._known.add(file)
        self._index.update(dict.fromkeys(entries, path))

    def _read_pack(self, path: Path, keys: list[str]) -> dict[str, dict[str, Tensor]]:
        """Entries of a pack; none, and the pack is forgotten, where anything is wrong with it."""
        entries: dict[str, dict[str, Tensor]] = {}
        try:
            with safe_open(path, framework="pt") as pack:
                checksums, there = pack.metadata(), set(pack.keys())
                for key in keys:
                    # Out of the mapped file, which may be replaced or removed while we use it.
                    entry = {
                        name: pack.get_tensor(f"{key}.{name}").clone()
                        for name in self._names
                        if f"{key}.{name}" in there
                    }
                    if checksums[key] != self._checksum(entry):
                        raise SafetensorError(f"checksum of {key}")
                    entries[key] = entry
        except (SafetensorError, FileNotFoundError, KeyError):
            path.unlink(missing_ok=True)
            self._known.discard(path.name)
            self._index = {key: pack for key, pack in self._index.items() if pack != path}
            return {}
        return entries

    def _checksum(self, entry: Entry) -> str:
        value = 0
        for name in self._names:
            if name in entry:
                tensor = entry[name]
                value = zlib.crc32(repr(tuple(tensor.shape)).encode(), value)
                value = zlib.crc32(tensor.contiguous().numpy().tobytes(), value)
        return f"{value:08x}"
