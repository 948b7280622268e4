"""The sounds of pairs: as a corpus to be encoded, and whether they are what the pairs say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from soundwright.audio.files import read
from soundwright.core.errors import UserError
from soundwright.core.progress import Meter
from soundwright.core.records import Caption, Clip, Licence, Location, Source
from soundwright.data.clips import hash_samples
from soundwright.data.manifest import Header, Manifest
from soundwright.data.store import INDEX_NAME, FrameStore
from soundwright.preference.record_files import sound_path
from soundwright.preference.records import Pair, Side

GENERATED = Licence(name="generated", evidence="made by a model")


def clip_id(side: Side) -> str:
    """Under which the frames of a sound are stored: what is in it, whatever its file is called."""
    return side.pcm_hash[:20]


def list_sounds(pairs: Sequence[Pair], folder: Path) -> Manifest:
    """The sounds of pairs as a corpus, each once.

    Args:
        pairs: The pairs.
        folder: Of their file, from which paths start.
    """
    clips: dict[str, Clip] = {}
    for pair in pairs:
        for side in (pair.winner, pair.loser):
            clips.setdefault(clip_id(side), _describe(pair, side, folder))
    return Manifest(Header(facts={"pairs": len(pairs)}), tuple(clips.values()), folder)


def check_sounds(pairs: Sequence[Pair], folder: Path, store: Path) -> None:
    """Hear whether the sounds are those that the pairs were made of, unless they are encoded.

    Args:
        pairs: The pairs.
        folder: Of their file.
        store: Where the sounds are encoded; nothing is asked of a finished store.

    Raises:
        UserError: A sound is missing, is another one than it was, or is not as long as its rival.
    """
    if (store / INDEX_NAME).is_file():
        return
    known: dict[str, float] = {}
    with Meter("check", len(pairs), unit="pair") as meter:
        for pair in pairs:
            lengths = [_measure(side, folder, known) for side in (pair.winner, pair.loser)]
            if lengths[0] != lengths[1]:
                raise _not_alike(pair, f"{lengths[0]:g} and {lengths[1]:g} s")
            meter.advance()


def check_lengths(pairs: Sequence[Pair], store: FrameStore[Any], longest: float | None) -> None:
    """Refuse pairs whose sounds cannot be compared, or not be read at once.

    Args:
        pairs: The pairs.
        store: With their frames.
        longest: Seconds that the model reads at once; None is any number.

    Raises:
        UserError: Names the first such pair.
    """
    for pair in pairs:
        frames = [store.frames(clip_id(side)) for side in (pair.winner, pair.loser)]
        if frames[0] != frames[1]:
            raise _not_alike(pair, f"{frames[0]} and {frames[1]} frames")
        seconds = frames[0] / store.info.frame_rate
        # A frame may hang over the end.
        if longest is not None and seconds > longest + 1 / store.info.frame_rate:
            raise UserError(
                f"The sounds of the pair {pair.id} last {seconds:.2f} s, and the model reads "
                f"{longest:g} s at once.",
                change=f"Make shorter ones: soundwright prefer rollout --duration {longest:g}.",
            )


def _describe(pair: Pair, side: Side, folder: Path) -> Clip:
    return Clip(
        id=clip_id(side),
        source=Source(dataset="pairs", item=side.rollout),
        location=Location(path=sound_path(folder, side).absolute().as_posix()),
        pcm_hash=side.pcm_hash,
        duration=pair.duration,
        sample_rate=pair.sample_rate,
        captions=(Caption(text=pair.prompt),),
        licence=GENERATED,
    )


def _measure(side: Side, folder: Path, known: dict[str, float]) -> float:
    """Seconds of a sound.

    Raises:
        UserError: It is another one than the pair's.
    """
    if side.pcm_hash not in known:
        path = sound_path(folder, side)
        sound = read(path)
        if hash_samples(sound) != side.pcm_hash:
            raise UserError(
                f"{path} is not the sound that it was when the pairs were made.",
                change="Make the pairs again: soundwright prefer pair.",
            )
        known[side.pcm_hash] = sound.duration
    return known[side.pcm_hash]


def _not_alike(pair: Pair, lengths: str) -> UserError:
    return UserError(
        f"Winner and loser of the pair {pair.id} are not equally long: {lengths}.",
        expected="two sounds of one prompt and one duration",
        change="Make the pairs again: soundwright prefer pair.",
    )
