"""Weights tensor by tensor: read when asked for, written without all being in memory at once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from soundwright.core.errors import CheckpointError
from soundwright.core.files import open_atomic, read_json
from soundwright.core.hub import first_line
from soundwright.core.pickles import read_pickle, refuse_pointer
from soundwright.core.progress import Meter
from soundwright.pipelines.storage import SCALE_SUFFIX, unpack_rows

SAFE, PICKLED = "model.safetensors", "pytorch_model.bin"
_DTYPES: Mapping[str, torch.dtype] = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
}  # fmt: skip
"""Floating types by safetensors' names."""
_NAMES = {torch.float32: "F32", torch.float16: "F16"}


class WeightFiles(Mapping[str, Tensor]):
    """The tensors of one model, wherever they lie, each read when it is asked for.

    Args:
        readers: Name to what reads the tensor.
        dtypes: Floating types that occur; others are left out.
    """

    def __init__(
        self, readers: Mapping[str, Callable[[], Tensor]], dtypes: Mapping[str, torch.dtype]
    ) -> None:
        self._readers, self.dtypes = dict(readers), dict(dtypes)

    def __getitem__(self, name: str) -> Tensor:
        return self._readers[name]()

    def __contains__(self, name: object) -> bool:
        # Mapping's own would read the tensor.
        return name in self._readers

    def __iter__(self) -> Iterator[str]:
        return iter(self._readers)

    def __len__(self) -> int:
        return len(self._readers)

    def among(self, *prefixes: str) -> WeightFiles:
        """Those whose names begin with one of `prefixes`, in the order of their names."""
        names = sorted(name for name in self if name.startswith(prefixes))
        return WeightFiles(
            {name: self._readers[name] for name in names},
            {name: self.dtypes[name] for name in names if name in self.dtypes},
        )

    def below(self, prefix: str) -> WeightFiles:
        """Those whose names begin with `prefix`, without it."""
        chosen, cut = self.among(prefix), len(prefix)
        return WeightFiles(
            {name[cut:]: reader for name, reader in chosen._readers.items()},
            {name[cut:]: dtype for name, dtype in chosen.dtypes.items()},
        )

    def renamed(self, names: Mapping[str, str]) -> WeightFiles:
        """The same under other names, old to new."""
        return WeightFiles(
            {names.get(name, name): reader for name, reader in self._readers.items()},
            {names.get(name, name): dtype for name, dtype in self.dtypes.items()},
        )

    @property
    def storage(self) -> Literal["fp32", "fp16"]:
        """The smaller of the two types that holds all of them exactly."""
        return "fp16" if set(self.dtypes.values()) == {torch.float16} else "fp32"


def open_pretrained(folder: Path) -> WeightFiles:
    """The weights in a folder of transformers: safetensors or pickled, in one file or in shards.

    Raises:
        CheckpointError: There are none, a shard is missing, or a file is damaged.
    """
    for name in (SAFE, PICKLED):
        index = folder / f"{name}.index.json"
        if (folder / name).is_file():
            files = [folder / name]
        elif index.is_file():
            files = _shards(index)
        else:
            continue
        return open_safetensors(*files) if name == SAFE else _open_pickles(files)
    raise CheckpointError(
        f"{folder} holds no weights.",
        expected=f"{SAFE} or {PICKLED}, or the shards that {SAFE}.index.json names",
    )


def open_safetensors(*files: Path) -> WeightFiles:
    """The tensors of safetensors files; matrices that `storage` packed come back unpacked.

    Raises:
        CheckpointError: A file is missing or damaged.
    """
    readers: dict[str, Callable[[], Tensor]] = {}
    dtypes: dict[str, torch.dtype] = {}
    for path in files:
        refuse_pointer(path)
        try:
            handle = safe_open(path, framework="pt")
        except (SafetensorError, OSError) as error:
            raise CheckpointError(
                f"{path} is damaged, or no safetensors ({first_line(error)}).",
                change="Copy or fetch the file again.",
            ) from error
        names = set(handle.keys())
        for name in sorted(names):
            if name.endswith(SCALE_SUFFIX):
                continue
            packed = name + SCALE_SUFFIX in names
            readers[name] = _reader(handle, name, packed)
            dtype = _DTYPES.get(handle.get_slice(name).get_dtype())
            if packed or dtype is not None:
                dtypes[name] = dtype or torch.float32
    return WeightFiles(readers, dtypes)


def hold(tensors: Any, origin: str) -> WeightFiles:
    """Tensors that are in memory already, or in a pickle on the disk.

    Raises:
        CheckpointError: `tensors` is no dictionary of tensors.
    """
    fits = isinstance(tensors, Mapping) and all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in tensors.items()
    )
    if not fits:
        raise CheckpointError(f"{origin} is no dictionary from names to tensors.")
    dtypes = {name: tensor.dtype for name, tensor in tensors.items() if tensor.is_floating_point()}
    return WeightFiles(
        {name: lambda tensor=tensor: tensor for name, tensor in tensors.items()}, dtypes
    )


def stream_weights(
    path: Path, weights: Mapping[str, Tensor], storage: Literal["fp32", "fp16"], title: str
) -> None:
    """Write floating tensors as safetensors, atomically, with one of them in memory at a time.

    Args:
        path: Where to.
        weights: Names to tensors; each is asked for once.
        storage: What they are stored as.
        title: What is being done, for the progress bar.

    Raises:
        CheckpointError: A weight is not finite, or too large for fp16.
    """
    dtype = {"fp32": torch.float32, "fp16": torch.float16}[storage]
    # The header stands first and tells shapes that are not known yet: room is left for it.
    room = 64 + sum(len(json.dumps(name)) + 160 for name in weights)
    room += -room % 8
    header: dict[str, Any] = {"__metadata__": {"format": "pt", "storage": storage}}
    end = 0
    with open_atomic(path) as file, Meter(title, len(weights), unit="tensor") as meter:
        file.seek(8 + room)
        for name in weights:
            tensor = _convert(name, weights[name], dtype)
            begin, end = end, end + tensor.numel() * tensor.element_size()
            header[name] = {
                "dtype": _NAMES[dtype], "shape": list(tensor.shape), "data_offsets": [begin, end],
            }  # fmt: skip
            file.write(tensor.numpy().data)
            meter.advance()
        text = json.dumps(header, separators=(",", ":")).encode()
        assert len(text) <= room
        file.seek(0)
        file.write(room.to_bytes(8, "little") + text.ljust(room))


def _convert(name: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    assert tensor.is_floating_point(), name
    if not torch.isfinite(tensor).all():
        raise CheckpointError(f"The weight {name!r} holds values that are not finite.")
    stored = tensor.detach().to(dtype).contiguous()
    if not torch.isfinite(stored).all():
        raise CheckpointError(f"The weight {name!r} is too large for fp16.", change="Use fp32.")
    return stored


def _reader(handle: Any, name: str, packed: bool) -> Callable[[], Tensor]:
    def read() -> Tensor:
        tensor = handle.get_tensor(name)
        return unpack_rows(tensor, handle.get_tensor(name + SCALE_SUFFIX)) if packed else tensor

    return read


def _open_pickles(files: list[Path]) -> WeightFiles:
    tensors: dict[str, Any] = {}
    for path in files:
        held = read_pickle(path)
        tensors.update(held if isinstance(held, Mapping) else {path.name: held})
    return hold(tensors, str(files[0]))


def _shards(index: Path) -> list[Path]:
    content = read_json(index)
    names: set[Any] = set()
    with suppress(AttributeError, TypeError):
        names = set(content["weight_map"].values())
    # A name with a folder in it would lead out of the model.
    if not names or any(not isinstance(name, str) or Path(name).name != name for name in names):
        raise CheckpointError(f"{index} names no shards.", expected="weight_map: tensor to file")
    files = [index.parent / name for name in sorted(names)]
    absent = [path for path in files if not path.is_file()]
    if absent:
        raise CheckpointError(
            f"{absent[0]} is missing, of {len(files)} shards.", change="Fetch the folder again."
        )
    return files
