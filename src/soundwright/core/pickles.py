"""Pickled checkpoints of others, read without running anything that stands in them.

A pickle is a program. torch's restricted unpickler knows tensors and plain values only, here also
NumPy's arrays of numbers, and refuses everything else before it is done.
"""

from __future__ import annotations

import io
import pickletools
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, BinaryIO

import numpy as np
import torch
from torch.serialization import safe_globals

from soundwright.core.errors import CheckpointError
from soundwright.core.hub import first_line

_POINTER = b"version https://git-lfs"
_MAKERS: list[Any] = [np.zeros(1).__reduce__()[0], np.int64(1).__reduce__()[0]]
"""NumPy's own functions that make arrays and scalars."""
_ARRAYS: list[Any] = [
    np.ndarray,
    np.dtype,
    *(type(np.dtype(kind)) for kind in "?bBhHiIlLefd"),
    # By the names of NumPy 2 and of NumPy 1.
    *((maker, f"numpy._core.multiarray.{maker.__name__}") for maker in _MAKERS),
    *((maker, f"numpy.core.multiarray.{maker.__name__}") for maker in _MAKERS),
]
"""What arrays of numbers are made of. Arrays of objects need a type that is not here."""


def read_pickle(path: Path) -> Any:
    """What a file of `torch.save` holds: tensors on the CPU, arrays, plain values, containers.

    Tensors of files that allow it stay on the disk until they are used.

    Raises:
        CheckpointError: The file is missing, truncated, no checkpoint, or would run code.
    """
    refuse_pointer(path)
    try:
        with safe_globals(_ARRAYS):
            return torch.load(  # noqa: TID251 - the one place; `weights_only` is the safe mode
                path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
            )
    except UnpicklingError as error:
        raise _explain(path) from error
    except (RuntimeError, EOFError, ValueError, KeyError, TypeError, OSError) as error:
        raise _damaged(path, f" ({first_line(error)})") from error


def refuse_pointer(path: Path) -> None:
    """Refuse a file that is not there, and what git leaves of large ones.

    Raises:
        CheckpointError: The file is missing, or a pointer of Git LFS.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist.")
    with path.open("rb") as file:
        if file.read(len(_POINTER)) == _POINTER:
            raise CheckpointError(
                f"{path} is a pointer of Git LFS, not the file itself.",
                change="In its folder: git lfs pull. Or fetch it with hf download.",
            )


def _damaged(path: Path, why: str = "") -> CheckpointError:
    return CheckpointError(
        f"{path} is damaged, or no checkpoint of torch{why}.",
        change="Copy or fetch the file again; compare its size with that at its origin.",
    )


def _explain(path: Path) -> CheckpointError:
    # torch's own message recommends to read the file unsafely; it is not passed on.
    known = ("torch.", "collections.", "numpy.", "_codecs.")
    foreign = [name for name in _names(path) if not name.startswith(known)]
    if not foreign:
        return _damaged(path)
    if any(name.startswith("omegaconf.") for name in foreign):
        return CheckpointError(
            f"{path} is a training checkpoint of AudioCraft: it holds objects, not only weights.",
            expected="the files that audiocraft.utils.export writes",
            change="Where it was trained: export.export_lm(checkpoint, 'state_dict.bin'), and "
            "export.export_encodec or export.export_pretrained_compression_model for the codec.",
        )
    return CheckpointError(
        f"{path} would run code when it is read: it asks for {', '.join(foreign[:3])}. Nothing "
        "of it was run.",
        expected="tensors and plain values only",
        change="Do not use this file unless you trust its origin. There, save the weights alone, "
        "best as safetensors.",
    )


def _names(path: Path) -> list[str]:
    """The functions and classes that a checkpoint asks for; nothing is imported or run."""
    found: dict[str, None] = {}
    with suppress(ValueError, OSError, zipfile.BadZipFile, StopIteration, IndexError):
        for name in _globals(_program(path)):
            found[name] = None
    return list(found)


def _program(path: Path) -> BinaryIO:
    if not zipfile.is_zipfile(path):
        return io.BytesIO(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
        return io.BytesIO(archive.read(name))


def _globals(program: BinaryIO) -> Iterator[str]:
    """Names in the pickles that follow each other; ends with a ValueError where no pickle is."""
    while True:
        texts: list[str] = []
        for operation, argument, _ in pickletools.genops(program):
            if operation.name == "GLOBAL":
                yield str(argument).replace(" ", ".")
            elif operation.name == "STACK_GLOBAL":
                yield ".".join(texts[-2:])
            elif isinstance(argument, str):
                texts.append(argument)
