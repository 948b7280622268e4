"""The stage that listens: what is wrong with each sound, and what each judge says of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from soundwright.audio.files import read
from soundwright.audio.loudness import is_silent
from soundwright.audio.sound import Sound
from soundwright.core.errors import AudioError, UserError
from soundwright.core.files import hash_bytes
from soundwright.core.journal import Journal
from soundwright.core.progress import Meter
from soundwright.data.clips import hash_samples
from soundwright.preference.judges import Judge
from soundwright.preference.record_files import RecordFile
from soundwright.preference.records import RejectionKind, Rollout

FOLDER = "scores"
"""Within the folder of the rollouts."""
BATCH_SIZE = 16
FULL_SCALE = 0.999
CLIPPED_SHARE = 0.01
"""A sound of which more than this part of the samples reaches full scale is clipped."""
WRONG_DURATION_S = 0.1
"""A sound may be longer or shorter by this than was asked for: models make whole frames."""
NOT_FINITE = "not finite"
REVISION = 1
"""Raised when this file finds other faults in the same sounds."""

Score = float | Literal["not finite"] | None
"""None where the judge has nothing to say, or the sound cannot be read."""
Heard = tuple[Rollout, Sound | None]
"""A sound; None where its file is missing or another one."""


def find_faults(rollouts: RecordFile[Rollout]) -> dict[str, list[RejectionKind]]:
    """What is wrong with each sound, by id of the rollout; found once and kept.

    Raises:
        UserError: The notes beside the sounds are of others.
    """

    def work(part: Sequence[Heard]) -> list[list[RejectionKind]]:
        return [_faults(rollout, sound) for rollout, sound in part]

    return _note_all(rollouts, "faults", f"faults/{REVISION}", work)


def score_rollouts(rollouts: RecordFile[Rollout], judge: Judge) -> dict[str, Score]:
    """What a judge says of each sound and its caption, by id of the rollout; asked once and kept.

    Raises:
        UserError: The notes beside the sounds are of others.
    """

    def work(part: Sequence[Heard]) -> list[Score]:
        scores: list[Score] = [None] * len(part)
        heard = [(place, one, sound) for place, (one, sound) in enumerate(part) if sound]
        for rate in dict.fromkeys(sound.sample_rate for _, _, sound in heard):
            some = [one for one in heard if one[2].sample_rate == rate]
            sounds = [sound.samples for _, _, sound in some]
            for (place, _, _), score in zip(
                some, _ask(judge, sounds, rate, [one.prompt for _, one, _ in some]), strict=True
            ):
                scores[place] = score
        return scores

    return _note_all(rollouts, judge.name, judge.identity, work)


def _ask(judge: Judge, sounds: Sequence[Tensor], rate: int, texts: Sequence[str]) -> list[Score]:
    scores = judge.score(sounds, rate, texts)
    return [
        score if score is None else float(score) if math.isfinite(score) else NOT_FINITE
        for score in scores
    ]


def _note_all(
    rollouts: RecordFile[Rollout],
    name: str,
    identity: str,
    work: Callable[[Sequence[Heard]], list[Any]],
) -> dict[str, Any]:
    """Work on all sounds, batch by batch, and note what comes out."""
    fingerprint = hash_bytes(f"{rollouts.fingerprint} {identity}".encode())[:16]
    path = rollouts.folder / FOLDER / f"{name}-{fingerprint[:8]}.journal"
    found: dict[str, Any] = {}
    with Journal(path, fingerprint) as journal:
        for note in journal.entries:
            found |= note["found"]
        left = rollouts.items[len(found) :]
        with Meter(name, len(rollouts.items), done=len(found), unit="sound") as meter:
            for first in range(0, len(left), BATCH_SIZE):
                part = left[first : first + BATCH_SIZE]
                results = work([(one, _read(rollouts.folder, one)) for one in part])
                new = {one.id: result for one, result in zip(part, results, strict=True)}
                journal.append({"found": new})
                found |= new
                meter.advance(len(part))
    return found


def _read(folder: Path, rollout: Rollout) -> Sound | None:
    if rollout.fault:
        return None
    try:
        sound = read(folder / rollout.path)
    except (AudioError, UserError):
        return None
    return sound if hash_samples(sound) == rollout.pcm_hash else None


def _faults(rollout: Rollout, sound: Sound | None) -> list[RejectionKind]:
    if rollout.fault:
        return ["not finite" if rollout.fault == "not-finite" else "silent"]
    if sound is None:
        return ["missing"]
    faults: list[RejectionKind] = []
    if is_silent(sound.samples):
        faults.append("silent")
    if float((sound.samples.abs() >= FULL_SCALE).double().mean()) > CLIPPED_SHARE:
        faults.append("clipped")
    if abs(sound.duration - rollout.duration) > WRONG_DURATION_S:
        faults.append("wrong duration")
    return faults
