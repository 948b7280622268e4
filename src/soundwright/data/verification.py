"""Whether a corpus still is what its manifest says."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from soundwright.audio.sound import Sound
from soundwright.core.errors import AudioError
from soundwright.core.progress import Meter
from soundwright.core.records import Clip, Mixture
from soundwright.data.clips import hash_samples
from soundwright.data.manifest import Manifest, clip_path, read_clip
from soundwright.data.prefetch import compute_in_order


@dataclass(frozen=True)
class Problem:
    """Something about a clip that does not hold."""

    clip_id: str
    path: str
    reason: str
    """A reason of `AudioError`, or one of sample-rate, channels, duration, samples-differ."""
    detail: str


@dataclass(frozen=True)
class Verification:
    """The result for a whole corpus."""

    checked: int
    problems: tuple[Problem, ...]

    @property
    def sound(self) -> bool:
        """Whether everything holds."""
        return not self.problems

    @property
    def reasons(self) -> dict[str, int]:
        """How often each reason occurred, most frequent first."""
        return dict(Counter(problem.reason for problem in self.problems).most_common())

    def plain(self) -> dict[str, Any]:
        """The result as JSON values."""
        return {
            "checked": self.checked,
            "reasons": self.reasons,
            "problems": [asdict(problem) for problem in self.problems],
        }


def verify(manifest: Manifest, *, workers: int = 0) -> Verification:
    """Decode every clip and compare it with its record.

    Rate, channels, duration and the hash of the samples have to be the same; of a mixture all but
    the hash is looked at. Lossy files may be decoded a little differently by another version of
    the decoder, on another machine: their samples then differ, while rate and duration hold.

    Args:
        manifest: The corpus.
        workers: Threads that decode.

    Returns:
        The problems in the manifest's order, at most one a clip; bad files raise nothing.
    """

    def check(clip: Clip) -> Problem | None:
        path = str(clip_path(manifest, clip))
        try:
            fault = _compare(clip, read_clip(manifest, clip))
        except AudioError as error:
            return Problem(clip.id, path, error.reason, error.problem)
        return Problem(clip.id, path, *fault) if fault else None

    problems: list[Problem] = []
    with Meter("verify", len(manifest.clips), unit="clip") as meter:
        for found in compute_in_order(check, manifest.clips, workers=workers):
            if found is not None:
                problems.append(found)
            meter.advance(note=f"{len(problems)} problems" if problems else None)
    return Verification(len(manifest.clips), tuple(problems))


def _compare(clip: Clip, sound: Sound) -> tuple[str, str] | None:
    """Reason and detail of the first thing that differs."""
    facts = (
        ("sample-rate", clip.sample_rate, sound.sample_rate),
        ("channels", clip.channels, sound.channels),
        ("duration", round(clip.duration, 4), round(sound.duration, 4)),
        ("samples-differ", clip.pcm_hash, _hash(clip, sound)),
    )
    for reason, recorded, there in facts:
        if recorded != there:
            return reason, f"recorded {recorded}, found {there}"
    return None


def _hash(clip: Clip, sound: Sound) -> str:
    """Of the samples; a mixture's is that of its parts, which have records of their own."""
    return clip.pcm_hash if isinstance(clip.location, Mixture) else hash_samples(sound)
