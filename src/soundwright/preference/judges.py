"""Who says which of two sounds is better.

What measures the models that are trained on pairs must not choose the pairs: the tagger, and the
detector that ships, are refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from soundwright.audio.channels import to_channels
from soundwright.audio.loudness import integrated_loudness
from soundwright.audio.resampling import resample
from soundwright.core.devices import choose_device
from soundwright.core.errors import UserError, nearest
from soundwright.core.protocols import TextAudioEncoder
from soundwright.preference.demands import meet_demands, read_demands
from soundwright.scorers.clap import load_clap
from soundwright.scorers.detector import Detector, detector_folder
from soundwright.scorers.matching import Matcher, matcher_folder
from soundwright.scorers.tagger import Tagger
from soundwright.scorers.weights import identity_of

QUIETEST = -70.0
"""LUFS: BS.1770's absolute gate, and what a sound has of which nothing passes it."""
JUDGES = ("clap-630k-audioset-best", "clap-630k-best", "matcher", "events", "loudness")
CLAP = "clap-"


class Judge(Protocol):
    """Puts one number on a sound for a text; more is better."""

    @property
    def name(self) -> str:
        """Under which its scores and thresholds stand."""
        ...

    @property
    def identity(self) -> str:
        """Changes whenever some score would: the key of scores that are kept."""
        ...

    def score(
        self, waveforms: Sequence[Tensor], sample_rate: int, texts: Sequence[str]
    ) -> list[float | None]:
        """One number a sound [C, N]; None where the judge has nothing to say of the text."""
        ...


class SimilarityJudge:
    """Cosines of sounds and texts in a common space: CLAP, or the bundled matcher.

    Args:
        encoder: Of both.
        name: As in the protocol.
    """

    def __init__(self, encoder: TextAudioEncoder, name: str) -> None:
        self._encoder, self.name = encoder, name

    @property
    def identity(self) -> str:
        """The encoder's."""
        return self._encoder.identity

    def score(
        self, waveforms: Sequence[Tensor], sample_rate: int, texts: Sequence[str]
    ) -> list[float | None]:
        """See the protocol; channels are averaged."""
        rate = self._encoder.sample_rate
        mono = [resample(to_channels(one, 1)[0], sample_rate, rate) for one in waveforms]
        sounds = torch.stack([one.vector for one in self._encoder.encode(mono)])
        different = list(dict.fromkeys(texts))
        vectors = self._encoder.embed_texts(different)
        words = vectors[[different.index(text) for text in texts]]
        return (sounds * words).double().sum(1).tolist()


class EventJudge:
    """Whether the events that a text tells of are heard, so many times, in that order.

    Args:
        detector: Another one than that which ships; see `check_judge`.
        name: As in the protocol.
    """

    def __init__(self, detector: Detector, name: str = "events") -> None:
        check_judge(detector)
        self._detector, self.name = detector, name

    @property
    def identity(self) -> str:
        """Hash of the detector."""
        return identity_of(self._detector, self._detector.config)

    def score(
        self, waveforms: Sequence[Tensor], sample_rate: int, texts: Sequence[str]
    ) -> list[float | None]:
        """See the protocol; from 0 to 1, None for texts that tell of no label of the detector."""
        heard = self._detector.detect(waveforms, sample_rate)
        labels = self._detector.labels
        demands = [read_demands(text, labels) for text in texts]
        return [meet_demands(*one) for one in zip(demands, heard, strict=True)]


class LoudnessJudge:
    """Integrated loudness in LUFS: a guard against winning by level, not a measure of quality."""

    name = "loudness"
    identity = "loudness/1"

    def score(
        self,
        waveforms: Sequence[Tensor],
        sample_rate: int,
        texts: Sequence[str],  # noqa: ARG002
    ) -> list[float | None]:
        """See the protocol; the text does not matter."""
        return [max(integrated_loudness(one, sample_rate), QUIETEST) for one in waveforms]


def open_judge(name: str, device: str = "auto") -> Judge:
    """The judge called `name`.

    Args:
        name: `clap-` with the name of a checkpoint, `matcher`, `events=DIR` with the folder of a
            detector, or `loudness`. Behind "=" stands where else the weights of a CLAP or a matcher
            are: `clap-630k-best=FILE`, `clap=laion/larger_clap_general`, `matcher=DIR`.
        device: auto, cpu, cuda, cuda:N or mps.

    Raises:
        UserError: There is no such judge, or it must not choose.
        MissingWeightsError: Its weights are not here.
        CheckpointError: Its folder is damaged.
    """
    where = choose_device(device)
    kind, _, place = name.partition("=")
    checkpoint = place or kind.removeprefix(CLAP)
    if kind.startswith(CLAP) or (kind == "clap" and place):
        return SimilarityJudge(load_clap(checkpoint, device=where), kind)
    if kind == "matcher":
        matcher = Matcher.load(Path(place) if place else matcher_folder()).to(where)
        return SimilarityJudge(matcher, kind)
    if kind == "events":
        if not place:
            raise refusal("The detector that ships")
        return EventJudge(Detector.load(Path(place)).to(where))
    if kind == "loudness":
        return LoudnessJudge()
    if kind in ("tagger", "judge"):
        raise refusal("The tagger")
    raise UserError(f"There is no judge {name!r}.", expected=nearest(kind, JUDGES))


def check_judge(judge: object) -> None:
    """Refuse what measures the result, and therefore must not choose what is learnt from.

    Raises:
        UserError: It is the tagger, or the detector that ships.
    """
    if isinstance(judge, Tagger):
        raise refusal("The tagger")
    if isinstance(judge, Detector):
        own = Detector.load(detector_folder())
        if identity_of(judge, judge.config) == identity_of(own, own.config):
            raise refusal("The detector that ships")


def refusal(who: str) -> UserError:
    """The error for one that must not choose."""
    return UserError(
        f"{who} is the judge: it measures what comes out and never chooses what is learnt from. "
        "A model that was aligned by it could not be measured with it any more.",
        expected="clap-630k-audioset-best, clap-630k-best, matcher or loudness",
        change="For the order and number of events train a detector of your own with another "
        "seed (soundwright train detector --set training.seed=1), and give its folder: "
        "events=DIR",
    )
