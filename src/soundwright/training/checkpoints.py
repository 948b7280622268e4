"""Checkpoints: folders of safetensors and JSON that are whole or absent, and proven at loading.

Format 1 has every tensor whole. Format 2 has those that are divided over ranks in `shards/`, and
the rest as in format 1. Both load on any number of ranks.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from soundwright.core import files
from soundwright.core.errors import CheckpointError, UserError, nearest
from soundwright.core.ranks import Ranks
from soundwright.training.shards import (
    divide_like,
    empty_tensors,
    is_divided,
    read_shards,
    write_shards,
)
from soundwright.training.states import flatten, restore

WHOLE, DIVIDED = 1, 2
INDEX = "checkpoint.json"
STATE = "state"
SHARDS = "shards"
OPTIMIZERS = "optimizers"
Like = Callable[[str, str | int], Tensor | None]
"""A live tensor that lies over the ranks as one of a checkpoint shall: of a player, the weight of a
name or the parameter of a number, whose moments lie as it does. None for whole ones."""
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


def write_checkpoint(
    folder: Path, checkpoint: Checkpoint, *, keep: int = 0, ranks: Ranks | None = None
) -> Path:
    """Write a checkpoint below `folder`, then remove all but the newest `keep`; 0 keeps all.

    Args:
        folder: Of all checkpoints of a run.
        checkpoint: The same on all ranks but for the tensors that are divided over them.
        keep: How many stay.
        ranks: Those of the run, connected; all of them call this.

    Returns:
        The checkpoint's own folder.

    Raises:
        CheckpointError: The disk is full or cannot be written. Older checkpoints are untouched.
    """
    ranks = ranks or Ranks()
    path = Path(folder) / f"step-{checkpoint.step:08d}"
    tree, tensors = flatten(checkpoint.state)
    tables = {_weights_name(player): weights for player, weights in checkpoint.weights.items()}
    for player, weights in checkpoint.averages.items():
        tables[_weights_name(player, averaged=True)] = weights
    tables[f"{STATE}.safetensors"] = tensors
    divided = {
        _shard_key(table, name): value
        for table, values in tables.items()
        for name, value in values.items()
        if is_divided(value)
    }
    if divided and not ranks.is_first:
        write_shards(Path(ranks.decide(str)), divided, ranks)
        ranks.decide(str)
        return path
    if not ranks.is_first:
        ranks.decide(str)
        return path
    try:
        with files.folder_atomic(path) as partial:
            hashes: dict[str, str] = {}
            if divided:
                place = partial / SHARDS
                ranks.decide(lambda: str(place))
                hashes = write_shards(place, divided, ranks)
            for table, values in tables.items():
                _save(partial / table, {k: v for k, v in values.items() if not is_divided(v)})
            files.write_json(partial / f"{STATE}.json", tree)
            _write_index(partial, checkpoint, {f"{SHARDS}/{k}": v for k, v in hashes.items()})
    except UserError as error:
        raise CheckpointError(
            f"The checkpoint of step {checkpoint.step} was not written. {error.problem}",
            expected=error.expected,
            change=error.change,
        ) from error
    if keep:
        for old in list_checkpoints(folder)[:-keep]:
            _remove(old)
    ranks.decide(lambda: str(path))
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


def read_checkpoint(
    path: Path, *, like: Like | None = None, ranks: Ranks | None = None
) -> Checkpoint:
    """Read a checkpoint, of however many ranks, after checking each file's hash.

    Args:
        path: The checkpoint's own folder.
        like: How its tensors shall lie over the ranks; None reads them whole, onto the CPU.
        ranks: Those of the run, connected; all of them call this.

    Raises:
        CheckpointError: A file is missing or damaged; the message names it.
    """
    ranks = ranks or Ranks()
    index = _read_index(path)
    _verify(path, list(index["files"]), index, ranks)
    tree = files.read_json(path / f"{STATE}.json")
    moments = _name_moments(tree)

    def place(table: str, player: str) -> dict[str, Tensor]:
        return _read_table(path, table, index, lambda name: like(player, name) if like else None)

    def place_state(name: str) -> Tensor | None:
        return like(*moments[name]) if like and name in moments else None

    return Checkpoint(
        step=index["step"],
        weights={player: place(_weights_name(player), player) for player in index["players"]},
        averages={
            player: place(_weights_name(player, averaged=True), player)
            for player in index["averages"]
        },
        state=restore(tree, _read_table(path, f"{STATE}.safetensors", index, place_state)),
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
    shards = [file for file in index["files"] if file.startswith(f"{SHARDS}/")]
    _verify(path, [name, *shards], index, Ranks())
    return _read_table(path, name, index, lambda _: None), index["metadata"]


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


def _shard_key(table: str, name: str) -> str:
    return f"{table.removesuffix('.safetensors')}/{name}"


def _read_table(
    path: Path, table: str, index: Mapping[str, Any], like: Callable[[str], Tensor | None]
) -> dict[str, Tensor]:
    """The tensors of one file, and those of its names that are in shards."""
    tensors = {name: divide_like(value, like(name)) for name, value in _load(path / table).items()}
    if index["format"] == WHOLE:
        return tensors
    prefix = _shard_key(table, "")
    into: dict[str, Tensor] = {}
    for key, empty in empty_tensors(path / SHARDS).items():
        if key.startswith(prefix):
            live = like(key.removeprefix(prefix))
            if live is None or live.shape != empty.shape:
                into[key] = torch.empty_like(empty, device="cpu")
            else:
                into[key] = torch.empty_like(live, dtype=empty.dtype, requires_grad=False)
    read_shards(path / SHARDS, into)
    return tensors | {key.removeprefix(prefix): value for key, value in into.items()}


def _name_moments(tree: Any) -> dict[str, tuple[str, int]]:
    """Player and number of the parameter that a tensor of the optimizers' states belongs to."""
    state = restore(tree, _References())
    return {
        name: (player, number)
        for player, moments in state.get(OPTIMIZERS, {}).items()
        for number, values in moments.items()
        for name in values.values()
        if isinstance(name, str)
    }


class _References(dict[str, Any]):
    """In place of a table of tensors: gives the name that is asked for."""

    def __missing__(self, name: str) -> str:
        return name


def _load(path: Path) -> dict[str, Tensor]:
    # Clones: what safetensors gives is a view of the file, which may be removed later.
    return {name: value.clone() for name, value in load_file(path).items()}


def _write_index(folder: Path, checkpoint: Checkpoint, shards: Mapping[str, str]) -> None:
    found = (path for path in sorted(folder.iterdir()) if path.is_file())
    hashes = {path.name: files.hash_file(path) for path in found} | dict(shards)
    index = {
        "format": DIVIDED if shards else WHOLE,
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
    if index["format"] not in (WHOLE, DIVIDED):
        raise CheckpointError(
            f"{path} has the checkpoint format {index['format']}.",
            expected=f"format {WHOLE} or {DIVIDED}",
        )
    return index


def _verify(path: Path, names: Sequence[str], index: Mapping[str, Any], ranks: Ranks) -> None:
    """Check the hashes of files, each rank those of its share."""

    def is_sound(name: str) -> bool:
        file = path / name
        return file.is_file() and files.hash_file(file) == index["files"][name]

    own = names[ranks.rank :: ranks.count]
    damaged = [name for name in own if not is_sound(name)]
    for found in ranks.gather(damaged):
        for name in found:
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
