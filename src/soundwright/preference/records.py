"""The records of preference data, from the selected caption to the pair; see the documentation.

All stand in files of JSON lines (`record_files`). Sounds are named by paths relative to the file
that names them.
"""

from __future__ import annotations

from typing import Literal, Self, get_args

from pydantic import Field, model_validator

from soundwright.core.files import hash_bytes
from soundwright.core.records import Record

Strategy = Literal["S1.1", "S1.2", "S2", "S3"]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)
"""Tango 2, section 4.1.1: the same prompt in several numbers of steps, the same prompt with several
seeds, perturbed prompts, temporally perturbed prompts."""


def caption_id(text: str) -> str:
    """Identity of a caption: 20 hexadecimal digits of its words."""
    return hash_bytes(" ".join(text.split()).encode())[:20]


class SelectedCaption(Record):
    """A caption from which sounds will be made."""

    id: str
    text: str
    cluster: int | None = None
    """Of K-means, where it was selected for being different from others (the paper's T1); None
    where it was not."""
    temporal: bool = False
    """Whether it has one of the words of time (the paper's T2)."""


class Perturbation(Record):
    """A caption that is somewhat wrong for the sounds of another one."""

    caption: str
    """Id of that other one."""
    strategy: Literal["S2", "S3"]
    number: int = Field(ge=1)
    """Among those of the same caption and strategy."""
    text: str
    by: str
    """`rules`, or the chat model's name."""


class Take(Record):
    """One sound that is to be made."""

    id: str
    caption: str
    """Id of the caption."""
    prompt: str
    """The caption: what the sound is judged by."""
    asked: str
    """What the model is given; another text than `prompt` where that is perturbed."""
    strategy: Strategy
    number: int = Field(ge=0)
    """Among the takes of the same caption and strategy."""
    seed: int
    duration: float = Field(gt=0)
    """Seconds that are asked for."""
    steps: int | None = None
    """Of denoising; None for models without."""
    temperature: float | None = None
    """Of drawing tokens, where it is varied; None is the model's own."""

    @property
    def is_perturbed(self) -> bool:
        """Whether the model was given another text than the caption."""
        return self.asked != self.prompt


class Rollout(Take):
    """One sound that was made."""

    path: str
    """Relative to the folder of the file of rollouts."""
    pcm_hash: str
    """As in `core.records.Clip`, of what stands in the file; empty where `fault` is not."""
    sample_rate: int = Field(gt=0)
    seconds: float = Field(ge=0)
    """How long it is."""
    fault: str = ""
    """Why no file could be written: not-finite, no-samples."""


class Side(Record):
    """The winner or the loser of a pair."""

    rollout: str
    """Id of the rollout."""
    path: str
    """Relative to the folder of the file of pairs, or absolute."""
    pcm_hash: str
    seed: int
    steps: int | None = None
    temperature: float | None = None
    asked: str
    """What the model was given."""


class Scores(Record):
    """What one judge says of both sounds of a pair; more is better."""

    winner: float
    loser: float

    @property
    def delta(self) -> float:
        """By how much the winner is better."""
        return self.winner - self.loser


class Candidate(Record):
    """Two sounds for one prompt, of which the first may be preferred."""

    id: str
    caption: str
    """Id of the caption."""
    prompt: str
    strategy: Strategy
    duration: float = Field(gt=0)
    """Seconds of both sounds, as they were asked for."""
    sample_rate: int = Field(gt=0)
    winner: Side
    loser: Side
    scores: dict[str, Scores] = Field(default_factory=dict)
    """By name of the judge; one that has nothing to say of the prompt is left out."""


class Pair(Candidate):
    """Two sounds of which the first is preferred: what preference optimisation trains on."""

    @model_validator(mode="after")
    def _has_two_sounds(self) -> Self:
        if self.winner.pcm_hash == self.loser.pcm_hash:
            raise ValueError("winner and loser are the same sound")
        return self


RejectionKind = Literal[
    "missing",
    "silent",
    "not finite",
    "clipped",
    "wrong duration",
    "other sample rate",
    "other prompt",
    "equal sounds",
    "not judged",
    "score not finite",
    "winner not better",
    "judge disagrees",
    "winner below alpha",
    "loser below beta",
    "delta too small",
    "delta too large",
]
KINDS: tuple[RejectionKind, ...] = get_args(RejectionKind)


class Reason(Record):
    """Why a candidate is no pair."""

    kind: RejectionKind
    about: str = ""
    """Name of the judge, or which of the two sounds."""
    value: float | None = None
    threshold: float | None = None


class Rejected(Candidate):
    """A candidate that is no pair, and every reason for that."""

    reasons: tuple[Reason, ...] = Field(min_length=1)
