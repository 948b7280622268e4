"""Judge B: from sounds to event lists, and the sounds of a system matched to the prompts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import Tensor

from soundwright.audio.loudness import is_silent
from soundwright.audio.sound import Sound
from soundwright.core.errors import AudioError, UserError, nearest
from soundwright.core.files import hash_bytes, hash_file
from soundwright.core.progress import Meter
from soundwright.core.records import Event, Record
from soundwright.evaluation.collection import Item, read_collection
from soundwright.evaluation.pairing import fold_prompt
from soundwright.evaluation.scenes.cases import Benchmark, Case
from soundwright.evaluation.scenes.pairs import FLOOR_DB, nearness

SAMPLE_NUMBER = re.compile(r"(?P<case>.+?)(?:[-_.](?P<sample>\d+))?")
"""The name of a sound without its suffix: a case's id, and the number of the sample."""


class Judge(Protocol):
    """Something that hears events: the bundled detector, or whatever else a caller has."""

    @property
    def name(self) -> str:
        """Stable name with version."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """What it can tell apart."""
        ...

    def detect(self, waveforms: Sequence[Tensor], sample_rate: int) -> list[list[Event]]:
        """The events of each sound [C, N]."""
        ...


class Heard(Record):
    """What a judge hears in one sound."""

    events: tuple[Event, ...] = ()
    nearness_db: float = FLOOR_DB
    """As `pairs.nearness` measures it."""


NOTHING = Heard()
"""What is heard in a sound that is missing, silent or cannot be decoded."""


class Problem(Record):
    """A file or a prompt that something is wrong with."""

    name: str
    reason: str
    """missing, silent, unknown, or what `AudioError` says: truncated, not-audio ..."""


Takes = Mapping[str, Sequence[Heard]]
"""Case id -> what is heard in its samples, at least one."""


@dataclass(frozen=True)
class Matched:
    """The sounds of a folder by the cases that they answer."""

    items: Mapping[str, tuple[Item, ...]]
    """Case id -> its samples in order; none where there is no sound."""
    unknown: tuple[str, ...]
    """Sounds that answer no prompt of the benchmark."""


def identify(folder: Path) -> str:
    """Changes whenever a judge's files do (12 hex digits).

    Raises:
        UserError: There is no such folder.
    """
    if not folder.is_dir():
        raise UserError(f"There is no judge in {folder}.", expected="a detector's folder")
    hashes = "".join(hash_file(file) for file in sorted(folder.iterdir()) if file.is_file())
    return hash_bytes(hashes.encode())[:12]


def check_labels(judge: Judge, labels: Sequence[str]) -> None:
    """Refuse labels that a judge cannot hear.

    Raises:
        UserError: Which one.
    """
    for label in labels:
        if label not in judge.labels:
            raise UserError(
                f"{judge.name} cannot hear {label!r}.", expected=nearest(label, judge.labels)
            )


def listen(judge: Judge, sound: Sound) -> Heard:
    """Let a judge hear one sound; digital silence has no events."""
    if is_silent(sound.samples):
        return NOTHING
    events = judge.detect([sound.samples], sound.sample_rate)[0]
    return Heard(events=tuple(events), nearness_db=nearness(sound))


def match_sounds(benchmark: Benchmark, folder: Path) -> Matched:
    """Find the sounds of every case in a folder, or a manifest, of any system.

    A sound belongs to a case if its file is named after it, `<id>.wav` or `<id>-<sample>.wav`; or
    else to all cases whose prompt is the one that is recorded with the sound: in the JSON file
    beside it or in its tags, as `soundwright generate` writes them, or in the manifest.

    Raises:
        UserError: There is no sound.
    """
    ids = {case.id for case in benchmark.cases}
    by_prompt: dict[str, list[str]] = {}
    for case in benchmark.cases:
        by_prompt.setdefault(fold_prompt(case.prompt), []).append(case.id)
    found: dict[str, list[tuple[tuple[int, str], Item]]] = {case.id: [] for case in benchmark.cases}
    unknown = []
    for item in read_collection(folder).items:
        named = _case_of(item.stem, ids)
        if named is not None:
            owners, number = [named[0]], named[1]
        else:
            owners = [
                one for prompt in item.prompts for one in by_prompt.get(fold_prompt(prompt), ())
            ]
            number = item.seed or 0
        for owner in owners:
            found[owner].append(((number, item.name), item))
        if not owners:
            unknown.append(item.name)
    ordered = {
        case: tuple(item for _, item in sorted(items, key=lambda one: one[0]))
        for case, items in found.items()
    }
    return Matched(ordered, tuple(unknown))


def hear_all(
    judge: Judge, cases: Sequence[Case], matched: Matched
) -> tuple[dict[str, tuple[Heard, ...]], list[Problem]]:
    """Let a judge hear the sounds of every case.

    A sound that is silent or cannot be decoded, and a prompt without any sound, are heard as
    nothing, so that they fail; each is listed.

    Returns:
        What is heard in the samples of each case; and the problems.
    """
    sounds = {item.name: item for case in cases for item in matched.items[case.id]}
    heard: dict[str, Heard] = {}
    problems = [Problem(name=name, reason="unknown") for name in matched.unknown]
    with Meter("listen", len(sounds), unit="sound") as meter:
        for name, item in sounds.items():
            try:
                sound = item.read()
                heard[name] = listen(judge, sound)
                if is_silent(sound.samples):
                    problems.append(Problem(name=name, reason="silent"))
            except AudioError as error:
                heard[name] = NOTHING
                problems.append(Problem(name=name, reason=error.reason))
            meter.advance()
    takes = {}
    for case in cases:
        samples = tuple(heard[item.name] for item in matched.items[case.id])
        if not samples:
            problems.append(Problem(name=case.id, reason="missing"))
        takes[case.id] = samples or (NOTHING,)
    return takes, problems


def _case_of(stem: str, ids: set[str]) -> tuple[str, int] | None:
    """The case that a file is named after, and the number of the sample."""
    if stem in ids:
        return stem, 0
    match = SAMPLE_NUMBER.fullmatch(stem)
    if match is None or match["case"] not in ids or match["sample"] is None:
        return None
    return match["case"], int(match["sample"])
