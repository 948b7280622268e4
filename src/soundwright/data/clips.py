"""From a sound file to a clip record."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from soundwright.audio.files import read
from soundwright.audio.sound import Sound
from soundwright.core.errors import AudioError
from soundwright.core.progress import Meter
from soundwright.core.records import Caption, Clip, Event, Licence, Location, Source
from soundwright.data.prefetch import compute_in_order

UNKNOWN = Licence(name="unknown")


@dataclass(frozen=True)
class Draft:
    """All that is known of a clip before its file has been opened."""

    path: Path
    source: Source
    captions: tuple[Caption, ...] = ()
    tags: tuple[str, ...] = ()
    events: tuple[Event, ...] | None = None
    parents: tuple[str, ...] = ()
    licence: Licence = UNKNOWN
    split: str = ""
    scores: dict[str, float] | None = None
    metadata: dict[str, str | float | int | bool] | None = None
    start: float = 0.0
    """Where the clip begins within the file, in seconds."""
    duration: float | None = None
    """Length in seconds; None goes to the end of the file."""


@dataclass(frozen=True)
class Skip:
    """Something that did not become a clip, and why."""

    item: str
    """A file or a row, as a person would look for it."""
    reason: str
    """A stable word for counting; those of `AudioError` and of the importers."""
    detail: str = ""
    count: int = 1
    """How many it stands for, where not each is named."""


def joint_licence(parents: Iterable[Licence]) -> Licence:
    """The licence of a sound that was made of others: the terms of all of them hold."""
    licences = list(parents)
    names = {name for licence in licences for name in licence.name.split(" and ")}
    authors = {name for licence in licences for name in licence.author.split("; ")}
    return Licence(
        name=" and ".join(sorted(names)),
        author="; ".join(sorted(authors - {""})),
        evidence="the licences of its parents",
    )


def hash_samples(sound: Sound) -> str:
    """SHA-256 over the samples (little-endian float32, interleaved) and the sample rate."""
    interleaved = sound.samples.T.contiguous().numpy().astype("<f4", copy=False)
    digest = hashlib.sha256(interleaved.tobytes())
    digest.update(str(sound.sample_rate).encode())
    return digest.hexdigest()


def describe_clip(draft: Draft, folder: Path) -> Clip:
    """Decode the file of `draft` and record what it holds.

    Args:
        draft: What is known already.
        folder: The manifest's folder: files below it get a relative location.

    Raises:
        AudioError: The file cannot be decoded, or `draft.start` lies beyond its end.
    """
    sound = read(draft.path, start=draft.start, duration=draft.duration)
    path, here = draft.path.resolve(), Path(folder).resolve()
    shown = path.relative_to(here) if path.is_relative_to(here) else path
    return Clip(
        id=draft.source.clip_id,
        source=draft.source,
        location=Location(path=shown.as_posix(), start=draft.start),
        pcm_hash=hash_samples(sound),
        duration=sound.duration,
        sample_rate=sound.sample_rate,
        channels=sound.samples.shape[0],
        captions=draft.captions,
        tags=draft.tags,
        events=draft.events,
        parents=draft.parents,
        licence=draft.licence,
        split=draft.split,
        scores=draft.scores or {},
        metadata=draft.metadata or {},
    )


def describe_clips(
    drafts: Iterable[Draft], folder: Path, *, strict: bool = False, workers: int = 0
) -> tuple[list[Clip], list[Skip]]:
    """Describe many clips in order; bad files are named and skipped.

    Args:
        drafts: What is known already.
        folder: The manifest's folder.
        strict: Stop at the first bad file.
        workers: Threads that decode; 0 decodes in this one.

    Returns:
        The clips in the order of `drafts`, and what was skipped: bad files, and clips whose id
        an earlier one has (`duplicate`).

    Raises:
        AudioError: A bad file, where `strict`.
    """
    drafts = list(drafts)
    clips: dict[str, Clip] = {}
    skips: list[Skip] = []
    with Meter("read", len(drafts), unit="clip") as meter:
        for draft, found in zip(drafts, _try_all(drafts, folder, workers), strict=True):
            meter.advance(note=f"{len(skips)} skipped" if skips else None)
            if isinstance(found, AudioError):
                if strict:
                    raise found
                skips.append(Skip(str(draft.path), found.reason, found.problem))
            elif found.id in clips:
                skips.append(Skip(str(draft.path), "duplicate", f"has the id {found.id} too"))
            else:
                clips[found.id] = found
    return list(clips.values()), skips


def _try_all(drafts: list[Draft], folder: Path, workers: int) -> Iterator[Clip | AudioError]:
    def attempt(number: int) -> Clip | AudioError:
        try:
            return describe_clip(drafts[number], folder)
        except AudioError as error:
            return error

    return compute_in_order(attempt, range(len(drafts)), workers=workers)
