"""The folder of a run: what lies where, and whether a run may go on with other settings."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soundwright.core import files
from soundwright.core.errors import ConfigError, UserError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunFolder:
    """Names inside a run's folder."""

    path: Path

    @property
    def settings(self) -> Path:
        """The resolved settings; a folder that has them is a run."""
        return self.path / "config.json"

    @property
    def checkpoints(self) -> Path:
        """A folder for each checkpoint."""
        return self.path / "checkpoints"

    @property
    def metrics(self) -> Path:
        """One JSON line a record."""
        return self.path / "metrics.jsonl"

    @property
    def tensorboard(self) -> Path:
        """TensorBoard's event files."""
        return self.path / "tensorboard"

    def samples(self, step: int) -> Path:
        """The folder for the samples made after `step` steps."""
        return self.path / "samples" / f"step-{step:08d}"


def open_run(
    folder: Path,
    settings: Mapping[str, Any],
    *,
    resume: bool,
    free: Collection[str] = (),
    accept_changes: bool = False,
) -> RunFolder:
    """Check that a run may start in `folder`, or that it holds this one; write nothing.

    Args:
        folder: The run's.
        settings: JSON values that decide what the run computes.
        resume: Whether the folder must hold a run already, or must not.
        free: Dotted keys of `settings` that may differ on resuming, with all below them.
        accept_changes: Let every key differ.

    Raises:
        UserError: There is a run where none may be, or none where one must be.
        ConfigError: The settings differ from the run's; the message names each difference.
    """
    run = RunFolder(Path(folder))
    if resume:
        _check_run(run)
        before = {"ranks": 1, **files.read_json(run.settings)}
        changes = list(differences(before, {"ranks": 1, **_as_json(settings)}))
        binding = [line for key, line in changes if not _is_free(key, free)]
        if binding and not accept_changes:
            raise ConfigError(
                f"The settings are not those of the run in {folder}:\n  " + "\n  ".join(binding),
                change="Resume with the run's settings, accept the changes (--accept-changes, in "
                "Python accept_changes=True), or start another run.",
            )
        for _, line in changes:
            logger.warning("resumed with another setting: %s", line)
    elif run.settings.exists():
        raise UserError(
            f"{folder} holds a run already.", change="Resume it, or choose another folder."
        )
    return run


def save_settings(run: RunFolder, settings: Mapping[str, Any]) -> None:
    """Write config.json, which makes the folder a run."""
    if not run.settings.exists() or files.read_json(run.settings) != _as_json(settings):
        files.write_json(run.settings, settings)


def differences(old: Any, new: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield the dotted key and a line of text for every leaf in which two trees differ."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in dict.fromkeys([*old, *new]):
            inner = f"{key}.{name}" if key else str(name)
            yield from differences(old.get(name), new.get(name), inner)
    elif old != new:
        yield key, f"{key}: {json.dumps(old)} in the run, {json.dumps(new)} now"


def _as_json(value: Any) -> Any:
    """`value` as it comes back from a file: tuples are lists, keys are text."""
    return json.loads(json.dumps(value))


def _is_free(key: str, free: Collection[str]) -> bool:
    return any(key == name or key.startswith(f"{name}.") for name in free)


def _check_run(run: RunFolder) -> None:
    if not run.path.is_dir():
        raise UserError(f"{run.path} does not exist.", expected="the folder of a started run")
    if not run.settings.is_file():
        raise UserError(
            f"{run.path} is no run: it has no {run.settings.name}.",
            expected="the folder of a started run",
            change="Check the path, or start a new run without resuming.",
        )
