"""Single files fetched by address, and only kept if they are what they should be."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import BinaryIO
from urllib.request import urlopen

from soundwright.core.errors import CheckpointError, MissingWeightsError
from soundwright.core.files import open_atomic
from soundwright.core.hub import TIMEOUT_S, first_line, network_forbidden
from soundwright.core.progress import Meter

CHUNK = 1 << 20
GIT_BLOB = "git-blob"
"""The name that git gives to a content: the digest of files that are published in a repository."""


def fetch_address(address: str, path: Path, digest: str) -> None:
    """Fetch a file; `path` appears only once the whole file is there and has the digest.

    Args:
        address: Where it is published.
        path: Where it shall stand.
        digest: Of its content, as `hash_content` writes it.

    Raises:
        MissingWeightsError: The network is forbidden or does not give the file.
        CheckpointError: The file has another digest.
        UserError: `path` cannot be written.
    """
    if network_forbidden():
        raise _missing(address, path, "the network is forbidden")
    with open_atomic(path) as file:
        for chunk in _read(address, path):
            file.write(chunk)
        if _hash(file, digest.partition(":")[0]) != digest:
            raise CheckpointError(
                f"What {address} gave is not the file that was published there.",
                expected=digest,
                change="Try again; if that does not help, tell the maintainers.",
            )


def hash_content(path: Path, algorithm: str) -> str:
    """Digest of a file's content, such as "sha256:9f86...".

    Args:
        path: The file.
        algorithm: As hashlib calls it, or `GIT_BLOB`.
    """
    with path.open("rb") as file:
        return _hash(file, algorithm)


def _hash(file: BinaryIO, algorithm: str) -> str:
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if algorithm == GIT_BLOB:
        found = hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)
    else:
        found = hashlib.new(algorithm, usedforsecurity=False)
    while chunk := file.read(CHUNK):
        found.update(chunk)
    return f"{algorithm}:{found.hexdigest()}"


def _read(address: str, path: Path) -> Iterator[bytes]:
    # Errors are turned here: those of the network are OSErrors too, like those of the disk.
    try:
        with urlopen(address, timeout=TIMEOUT_S) as answer:
            size = answer.headers.get("Content-Length")
            total = -(-int(size) // CHUNK) if size else None
            with Meter(f"fetch {path.name}", total, unit="MB") as meter:
                while chunk := answer.read(CHUNK):
                    yield chunk
                    meter.advance()
    except (OSError, HTTPException, ValueError) as error:
        raise _missing(address, path, f"it cannot be fetched: {first_line(error)}") from error


def _missing(address: str, path: Path, problem: str) -> MissingWeightsError:
    return MissingWeightsError(
        f"{path.name} is not on this machine, and {problem}.",
        change=f"On a machine with network, fetch {address} and put it to {path}.",
    )
