"""Checkpoints: folders of safetensors and JSON that are whole or absent, and proven at loading."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from soundwright.core import files
from soundwright.core.errors import CheckpointError, UserError, nearest
from soundwright.training.states import flatten, restore

FORMAT = 1
INDEX = "checkpoint.json"
STATE = "state"
_NAME = re.compile(r"step-(\d{8,})")


@dataclass(frozen=True)
class Checkpoint:
    """Everything that a run needs to go on."""

    step: int
    """Number of steps done, which is also the number of the next one."""
    weights: Mapping[str, Mapping[str, Tensor]]
    """The `state_dict` of each player."""
    averages: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    """Averaged weights, for the players that have them."""
    state: Mapping[str, Any] = field(default_factory=dict)
    """Nested tensors and plain values: optimizers, task, counters."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """JSON values that say what was trained: the resolved configuration."""


def write_checkpoint(folder: Path, checkpoint: Checkpoint, *, keep: int = 0) -> Path:
    """Write a checkpoint below `folder`, then remove all but the newest `keep`; 0 keeps all.

    Returns:
        The checkpoint's own folder.

    Raises:
        CheckpointError: The disk is full or cannot be written. Older checkpoints are untouched.
    """
    path = Path(folder) / f"step-{checkpoint.step:08d}"
    tree, tensors = flatten(checkpoint.state)
    try:
        with files.folder_atomic(path) as partial:
            for player, weights in checkpoint.weights.items():
                _save(partial / _weights_name(player), weights)
            for player, weights in checkpoint.averages.items():
                _save(partial / _weights_name(player, averaged=True), weights)
            _save(partial / f"{STATE}.safetensors", tensors)
            files.write_json(partial / f"{STATE}.json", tree)
            _write_index(partial, checkpoint)
    except UserError as error:
        raise CheckpointError(
            f"The checkpoint of step {checkpoint.step} was not written. {error.problem}",
            expected=error.expected,
            change=error.change,
        ) from error
    if keep:
        for old in list_checkpoints(folder)[:-keep]:
            _remove(old)
    return path


def list_checkpoints(folder: Path) -> list[Path]:
    """The complete checkpoints below `folder`, oldest first."""
    found = [
        (int(match[1]), path)
        for path in (Path(folder).iterdir() if Path(folder).is_dir() else ())
        if (match := _NAME.fullmatch(path.name)) and path.is_dir()
    ]
    return [path for _, path in sorted(found)]


def newest_checkpoint(folder: Path) -> Path | None:
    """The checkpoint below `folder` with the most steps."""
    return next(reversed(list_checkpoints(folder)), None)


def remove_leavings(folder: Path) -> None:
    """Remove what killed processes have left half written or half removed below `folder`."""
    for path in Path(folder).glob(".step-*"):
        shutil.rmtree(path, ignore_errors=True)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a whole checkpoint onto the CPU after checking each file's hash.

    Raises:
        CheckpointError: A file is missing or damaged; the message names it.
    """
    index = _read_index(path)
    for name in index["files"]:
        _verify(path, name, index)
    averaged = {_weights_name(player, averaged=True): player for player in index["averages"]}
    return Checkpoint(
        step=index["step"],
        weights={name: _load(path / _weights_name(name)) for name in index["players"]},
        averages={player: _load(path / name) for name, player in averaged.items()},
        state=restore(
            files.read_json(path / f"{STATE}.json"), _load(path / f"{STATE}.safetensors")
        ),
        metadata=index["metadata"],
    )


def read_weights(
    path: Path, player: str, *, averaged: bool = True
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """One player's weights and the checkpoint's metadata, without the rest of the state.

    Args:
        path: A checkpoint's own folder.
        player: Whose weights.
        averaged: Take the averaged weights if the player has them.

    Raises:
        CheckpointError: There is no such player, or a file is missing or damaged.
    """
    index = _read_index(path)
    if player not in index["players"]:
        hint = nearest(player, index["players"])
        raise CheckpointError(f"{path} has no weights of {player!r}.", expected=hint)
    name = _weights_name(player, averaged=averaged and player in index["averages"])
    _verify(path, name, index)
    return _load(path / name), index["metadata"]


def _weights_name(player: str, *, averaged: bool = False) -> str:
    return f"{'average' if averaged else 'weights'}-{player}.safetensors"


def _save(path: Path, tensors: Mapping[str, Tensor]) -> None:
    # Tied weights share storage, which safetensors refuses: every tensor gets its own.
    own = {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}
    try:
        save_file(own, path)
    except SafetensorError as error:
        raise UserError(
            f"{path} cannot be written: {error}",
            change="Free some space or choose a folder that you may write to.",
        ) from error


def _load(path: Path) -> dict[str, Tensor]:
    # Clones: what safetensors gives is a view of the file, which may be removed later.
    return {name: value.clone() for name, value in load_file(path).items()}


def _write_index(folder: Path, checkpoint: Checkpoint) -> None:
    hashes = {path.name: files.hash_file(path) for path in sorted(folder.iterdir())}
    index = {
        "format": FORMAT,
        "step": checkpoint.step,
        "players": list(checkpoint.weights),
        "averages": list(checkpoint.averages),
        "files": hashes,
        "metadata": json.loads(json.dumps(dict(checkpoint.metadata))),
    }
    index["index"] = _hash_index(index)
    files.write_json(folder / INDEX, index)


def _hash_index(index: Mapping[str, Any]) -> str:
    rest = {key: value for key, value in index.items() if key != "index"}
    return files.hash_bytes(json.dumps(rest, sort_keys=True).encode())


def _read_index(path: Path) -> dict[str, Any]:
    try:
        index = files.read_json(Path(path) / INDEX)
    except UserError as error:
        raise _damaged(path, INDEX) from error
    if not isinstance(index, dict) or index.get("index") != _hash_index(index):
        raise _damaged(path, INDEX)
    if index["format"] != FORMAT:
        raise CheckpointError(
            f"{path} has the checkpoint format {index['format']}.", expected=f"format {FORMAT}"
        )
    return index


def _verify(path: Path, name: str, index: Mapping[str, Any]) -> None:
    file = path / name
    if not file.is_file() or files.hash_file(file) != index["files"][name]:
        raise _damaged(path, name)


def _damaged(path: Path, name: str) -> CheckpointError:
    state = "is damaged" if (path / name).exists() else "is missing"
    return CheckpointError(
        f"{path / name} {state}: it is not what was written.",
        change=f"Restore it from a copy, or remove {path} to go on from the checkpoint before it.",
    )


def _remove(path: Path) -> None:
    """Remove a checkpoint so that it vanishes from the list at once, killed or not."""
    grave = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    path.rename(grave / path.name)
    shutil.rmtree(grave, ignore_errors=True)
