"""The manifest: a corpus as a text file, one clip a line, and the way to each clip's samples."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from soundwright.audio.files import read
from soundwright.audio.loudness import is_silent
from soundwright.audio.mixing import Layer, mix_evenly
from soundwright.audio.sound import Sound
from soundwright.core.errors import AudioError, UserError
from soundwright.core.files import open_atomic
from soundwright.core.records import Clip, Location, Mixture
from soundwright.data.manifest_lines import MANIFEST_NAME as MANIFEST_NAME
from soundwright.data.manifest_lines import Header, manifest_file, open_manifest, write_line

MISSING_TAIL_S = 0.05
"""A file may end this much before the manifest says; codecs pad and trim by less."""


@dataclass(frozen=True)
class Manifest:
    """A corpus.

    Args:
        header: What the file says of itself.
        clips: The records, in the file's order; their ids differ.
        folder: Where relative locations start.
    """

    header: Header
    clips: tuple[Clip, ...]
    folder: Path = field(default_factory=Path)

    def __post_init__(self) -> None:
        counts = Counter(clip.id for clip in self.clips)
        twice = [name for name, count in counts.items() if count > 1]
        if twice:
            raise UserError(
                f"The clip id {twice[0]} stands {counts[twice[0]]} times in one manifest"
                + (f", and {len(twice) - 1} more ids repeat." if len(twice) > 1 else "."),
                expected="one record a clip",
            )

    def with_clips(self, clips: Iterable[Clip], **facts: Any) -> Manifest:
        """The same corpus with other records, and with `facts` added to the header."""
        header = self.header.model_copy(update={"facts": {**self.header.facts, **facts}})
        return replace(self, header=header, clips=tuple(clips))


def read_manifest(path: Path) -> Manifest:
    """Read and validate a manifest, given by its path or by that of its folder.

    Raises:
        UserError: The file is missing, is no manifest, is newer than this version, repeats an
            id, or has records that do not hold; the message names line and key.
    """
    path = manifest_file(path)
    header, clips = open_manifest(path)
    return Manifest(header, tuple(_unrepeated(path, clips)), path.parent)


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write a manifest atomically; equal manifests give equal bytes.

    Locations are written relative to the folder of `path` where they lie below it, so that the
    folder can be moved as a whole, and absolute elsewhere.

    Raises:
        UserError: The disk is full or cannot be written.
    """
    path = Path(path)
    with open_atomic(path) as file:
        file.write(write_line(manifest.header))
        for clip in relocated(manifest, path.parent).clips:
            file.write(write_line(clip))


def relocated(manifest: Manifest, folder: Path) -> Manifest:
    """The same corpus as seen from `folder`: relative locations start there."""
    here, there = manifest.folder.resolve(), Path(folder).resolve()
    if here == there:
        return replace(manifest, folder=Path(folder))
    clips = tuple(_relocate(clip, here, there) for clip in manifest.clips)
    return replace(manifest, clips=clips, folder=Path(folder))


def join_manifests(manifests: Sequence[Manifest], folder: Path) -> Manifest:
    """One corpus of several; the header keeps the facts of each under `parts`.

    Raises:
        UserError: A clip stands in two of them.
    """
    clips = [clip for part in manifests for clip in relocated(part, folder).clips]
    facts = {"parts": [part.header.facts for part in manifests]}
    return Manifest(Header(facts=facts), tuple(clips), Path(folder))


def clip_path(manifest: Manifest, clip: Clip) -> Path:
    """The file, or the shard, that holds a clip's samples."""
    return manifest.folder / clip.location.path


def read_clip(
    manifest: Manifest,
    clip: Clip,
    *,
    start: float = 0.0,
    duration: float | None = None,
    sample_rate: int | None = None,
    channels: int | None = None,
) -> Sound:
    """Read a clip, or a part of it, from its file or shard; a mixture is mixed anew.

    Args:
        manifest: The corpus that the clip belongs to.
        clip: The clip.
        start: Where to begin, in seconds from the clip's own start.
        duration: How much to read in seconds, at most to the clip's end; None reads to the end.
        sample_rate: Resample to this rate; None keeps the file's.
        channels: Mix to this many channels; None keeps the file's.

    Returns:
        Samples [C, N].

    Raises:
        AudioError: The file is missing or bad, or ends before the clip does; one of the sounds
            of a mixture is silent.
    """
    left = clip.duration - start
    assert left > 0, f"{start} s lies beyond the end of clip {clip.id}"
    wanted = left if duration is None else min(duration, left)
    if isinstance(clip.location, Mixture):
        rate, count = sample_rate or clip.sample_rate, channels or clip.channels
        mixed = _read_mixture(manifest, clip, clip.location, rate, count)
        first = round(start * rate)
        return Sound(mixed[:, first : first + round(wanted * rate)], rate)
    with _opened(manifest, clip) as path:
        sound = read(
            path,
            start=clip.location.start + start,
            duration=wanted,
            sample_rate=sample_rate,
            channels=channels,
        )
    if sound.duration < wanted - MISSING_TAIL_S:
        raise AudioError(
            f"Clip {clip.id} in {clip.location.path} ends early: {sound.duration:.2f} s are left "
            f"of {wanted:.2f} s.",
            reason="truncated",
            change="Restore the file, or import the folder again.",
        )
    return sound


def clip_bytes(manifest: Manifest, clip: Clip) -> bytes:
    """The content of a clip's file, or of its member in a shard.

    Raises:
        AudioError: The file is missing, or ends before the clip's span of bytes.
    """
    path, length = clip_path(manifest, clip), clip.location.length
    try:
        with path.open("rb") as file:
            file.seek(clip.location.offset or 0)
            content = file.read() if length is None else file.read(length)
    except OSError as error:
        raise AudioError(
            f"{path} cannot be read: {error.strerror or error}.", reason="missing"
        ) from error
    if length is not None and len(content) < length:
        raise AudioError(f"The shard {path} is cut off in clip {clip.id}.", reason="truncated")
    return content


def _read_mixture(
    manifest: Manifest, clip: Clip, mixture: Mixture, sample_rate: int, channels: int
) -> Tensor:
    """The whole of a mixture, [C, N]: how loud its sounds are follows from all of each."""
    layers: list[Layer] = []
    for part in mixture.parts:
        whole = clip.model_copy(update={"location": part.location, "duration": part.duration})
        sound = read_clip(manifest, whole, sample_rate=sample_rate, channels=channels)
        if is_silent(sound.samples):
            raise AudioError(
                f"{part.location.path}, a part of the mixture {clip.id}, is silent.",
                reason="silent",
            )
        layers.append(Layer(sound.samples, round(part.onset * sample_rate)))
    first, second = layers
    return mix_evenly(first, second, round(clip.duration * sample_rate), sample_rate)


@contextmanager
def _opened(manifest: Manifest, clip: Clip) -> Iterator[Path]:
    """A file that holds the clip: its own, or a temporary one with the member of a shard."""
    if clip.location.offset is None:
        yield clip_path(manifest, clip)
        return
    descriptor, name = tempfile.mkstemp(prefix="soundwright-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(clip_bytes(manifest, clip))
        yield Path(name)
    except AudioError as error:
        shown = f"clip {clip.id} in {clip_path(manifest, clip)}"
        raise AudioError(error.problem.replace(name, shown), reason=error.reason) from error
    finally:
        Path(name).unlink(missing_ok=True)


def _relocate(clip: Clip, here: Path, there: Path) -> Clip:
    return clip.model_copy(update={"location": _moved(clip.location, here, there)})


def _moved(location: Location, here: Path, there: Path) -> Location:
    # `here / path` is `path` itself where that is absolute.
    path = here / location.path
    shown = path.relative_to(there) if path.is_relative_to(there) else path
    values: dict[str, Any] = {"path": shown.as_posix()}
    if isinstance(location, Mixture):
        values["parts"] = tuple(
            part.model_copy(update={"location": _moved(part.location, here, there)})
            for part in location.parts
        )
    return location.model_copy(update=values)


def _unrepeated(path: Path, clips: Iterable[tuple[int, Clip]]) -> Iterator[Clip]:
    seen: dict[str, int] = {}
    for number, clip in clips:
        if clip.id in seen:
            raise UserError(
                f"{path}, line {number}: the id {clip.id} stands on line {seen[clip.id]} already.",
                expected="one record a clip",
            )
        seen[clip.id] = number
        yield clip
