"""The encoders that metrics may name, and how each comes to be.

Their code is imported when one is wanted: a list of metrics needs no networks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from soundwright.core.errors import MissingWeightsError
from soundwright.core.protocols import AudioEncoder

if TYPE_CHECKING:
    import torch

Loader = Callable[["torch.device"], AudioEncoder]
"""Raises `MissingWeightsError` where weights are neither here nor reachable."""
Kind = Literal["fd", "fd-inf", "kad", "kl", "is", "match", "accuracy", "aesthetics"]
"""What can be computed from an encoder; `evaluation.metrics` tells more."""
SETS: tuple[Kind, ...] = ("kad", "fd", "fd-inf")
CLAP = (
    "630k-audioset-best",
    "630k-audioset-fusion-best",
    "music-audioset",
    "music-speech-audioset",
)
"""The checkpoints that papers measure with, by the names of `scorers.clap_weights`."""
CLASSES: tuple[Kind, ...] = ("kl", "is")


@dataclass(frozen=True)
class EncoderChoice:
    """One encoder of the table."""

    load: Loader
    hears: str
    """What it is, in a few words."""
    serves: tuple[Kind, ...] = SETS
    """`CLASSES` need logits, `match` an encoder of texts, `accuracy` the judge."""
    bundled: bool = False
    """Whether its weights ship with Soundwright."""


def _judge(device: torch.device) -> AudioEncoder:
    from soundwright.scorers.tagger import Tagger, judge_folder

    return Tagger.load(judge_folder()).to(device)


def _tagger(device: torch.device) -> AudioEncoder:
    from soundwright.scorers.tagger import Tagger, tagger2_folder

    return Tagger.load(_bundled(tagger2_folder())).to(device)


def _matcher(device: torch.device) -> AudioEncoder:
    from soundwright.scorers.matching import Matcher, matcher_folder

    return Matcher.load(_bundled(matcher_folder())).to(device)


def _bundled(folder: Path) -> Path:
    if not folder.is_dir():
        raise MissingWeightsError(
            f"This copy of Soundwright lacks the bundled scorer {folder.name}.",
            change="Take a complete copy.",
        )
    return folder


def _logmel(device: torch.device) -> AudioEncoder:
    from soundwright.scorers.logmel_statistics import LogMelStatistics

    return LogMelStatistics(device)


def _vggish(convention: str) -> Loader:
    def load(device: torch.device) -> AudioEncoder:
        from soundwright.scorers.vggish import load_vggish

        return load_vggish(convention, device=device)

    return load


def _cnn14(variant: str) -> Loader:
    def load(device: torch.device) -> AudioEncoder:
        from soundwright.scorers.cnn14 import load_cnn14

        return load_cnn14(variant, device=device)

    return load


def _passt(convention: str) -> Loader:
    def load(device: torch.device) -> AudioEncoder:
        from soundwright.scorers.passt import load_passt

        return load_passt(convention, device=device)

    return load


def _openl3(convention: str, content: Literal["env", "music"]) -> Loader:
    def load(device: torch.device) -> AudioEncoder:
        from soundwright.scorers.openl3 import load_openl3

        return load_openl3(convention, content, device=device)

    return load


def _clap(name: str) -> EncoderChoice:
    """One of LAION's checkpoints."""

    def load(device: torch.device) -> AudioEncoder:
        from soundwright.scorers.clap import load_clap

        return load_clap(name, device=device)

    return EncoderChoice(load, f"CLAP, {name}", serves=("match", *SETS))


def _aesthetics(device: torch.device) -> AudioEncoder:
    from soundwright.scorers.aesthetics import load_aesthetics

    return load_aesthetics(device=device)


ENCODERS: Mapping[str, EncoderChoice] = MappingProxyType(
    {
        "judge-1": EncoderChoice(
            _judge,
            "the bundled judge: ten classes of ESC-10",
            serves=("accuracy",),
            bundled=True,
        ),
        "soundwright-tagger-2": EncoderChoice(
            _tagger,
            "the bundled second tagger",
            serves=(*SETS, *CLASSES),
            bundled=True,
        ),
        "soundwright-matcher-1": EncoderChoice(
            _matcher, "the bundled matcher of sounds and texts", serves=("match",), bundled=True
        ),
        "logmel-statistics": EncoderChoice(
            _logmel, "mean and spread of log-mel bands, without weights", bundled=True
        ),
        "vggish": EncoderChoice(_vggish("torchvggish"), "VGGish as in torchvggish"),
        "vggish-google": EncoderChoice(_vggish("google"), "VGGish as in Google's tools"),
        "cnn14-16k": EncoderChoice(
            _cnn14("cnn14-16k"),
            "PANNs' CNN14 at 16 kHz",
            serves=(*SETS, *CLASSES),
        ),
        "cnn14-32k": EncoderChoice(
            _cnn14("cnn14-32k"),
            "PANNs' CNN14 at 32 kHz",
            serves=(*SETS, *CLASSES),
        ),
        "panns-wgm": EncoderChoice(
            _cnn14("wavegram-logmel-cnn14"),
            "PANNs' Wavegram-Logmel-CNN14",
            serves=(*SETS, *CLASSES),
        ),
        "passt": EncoderChoice(
            _passt("overlapping"),
            "PaSST, 10 s windows every 5 s",
            serves=(*SETS, *CLASSES),
        ),
        "passt-audiocraft": EncoderChoice(
            _passt("audiocraft"),
            "PaSST, 10 s windows one after another",
            serves=(),
        ),
        "passt-audiocraft-generated": EncoderChoice(
            _passt("audiocraft-generated"),
            "PaSST, 10 s windows one after another, at -14 LUFS",
            serves=(),
        ),
        "passt-stable": EncoderChoice(
            _passt("stable-audio-metrics"),
            "PaSST, peak at -1 dB, 10 s windows every 5 s, the last filled up with zeros",
            serves=(),
        ),
        "openl3-env": EncoderChoice(
            _openl3("openl3", "env"), "OpenL3 of environmental sounds, 1 s every 0.5 s"
        ),
        "openl3-music": EncoderChoice(
            _openl3("openl3", "music"), "OpenL3 of music, 1 s every 0.5 s"
        ),
        "openl3-env-stable": EncoderChoice(
            _openl3("stable-audio-metrics", "env"),
            "OpenL3 of environmental sounds as in stable-audio-metrics, peak at -1 dB, as stereo",
            serves=(),
        ),
        "openl3-music-stable": EncoderChoice(
            _openl3("stable-audio-metrics", "music"),
            "OpenL3 of music as in stable-audio-metrics, peak at -1 dB, as stereo",
            serves=(),
        ),
        **{f"clap-{name}": _clap(name) for name in CLAP},
        "audiobox-aesthetics": EncoderChoice(
            _aesthetics, "Audiobox Aesthetics, where its package is installed", serves=()
        ),
    }
)
