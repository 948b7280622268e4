"""Measure the speech detector: what speech does it find, and what else does it take for speech?

    python benchmarks/speech_detection.py --recordings FOLDER [--out FILE]

Speech comes from espeak-ng: alone, mixed over recordings (ESC-10) and synthesised scenes, and as
fragments of 0.1 to 0.5 s at one end of a clip, as a transcript with wrong times leaves them. How
loud it is, is said relative to what is behind it, by the mean power of each.

Everything is done twice. The first round, with folds 1 and 2, is for choosing: it gives the highest
threshold on `speech_peak` at which 95 % of the clips are caught in which speech is at least as loud
as what is behind it. The second one, with folds 3 and 4 and with other voices, sentences and
scenes, tells what that threshold does.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import espeak
from soundwright.audio.resampling import resample
from soundwright.core.progress import Meter
from soundwright.core.seeding import numpy_stream
from soundwright.data.importers.esc import import_esc
from soundwright.data.manifest import read_clip
from soundwright.evaluation.statistics.proportions import wilson
from soundwright.scorers.speech import SpeechConfig, SpeechDetector, find_speech, score_speech
from soundwright.synthesis.rendering import render_scene
from soundwright.synthesis.scenes import ComposerConfig, compose_scene

RATE = 16_000
ROUNDS = {"choosing": ("fold1", "fold2"), "reporting": ("fold3", "fold4")}
LEVELS_DB = (10, 0, -10)
UTTERANCES, SCENES, FRAGMENTS = 40, 40, 150
FRAGMENT_S, CLIP_S, SYLLABLE_S = (0.1, 0.5), (1.0, 4.0), 0.15
QUIETEST = 1e-3
"""Root of the mean power from which on speech is as loud as what is behind it."""
LEAST_CAUGHT = 0.95
PRESET = 0.5
"""Threshold in the expressions of the corpus's presets."""
THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))
LEAST_SECONDS = (0.0, 0.1, 0.2, 0.3, 0.5)


@dataclass(frozen=True)
class Case:
    """A sound, and when somebody talks in it."""

    group: str
    """Such as "recording", or "fragment at the end, +10 dB"."""
    behind: str
    """Label of what is not speech."""
    samples: np.ndarray
    """[N] at 16 kHz."""
    begin: float = 0.0
    end: float = 0.0
    """Of the speech, in seconds."""
    faint: bool = False
    """Whether speech is weaker than what is behind it."""

    @property
    def seconds(self) -> float:
        """Of speech."""
        return self.end - self.begin


@dataclass(frozen=True)
class Heard:
    """What the detector says of a case."""

    case: Case
    spans: list[tuple[float, float]]
    """Where it hears speech, by its own settings."""
    peak: float
    """The score `speech_peak`."""
    seconds: Mapping[float, float]
    """Of speech, by threshold."""


def main() -> None:
    """Measure, print, and write the results where they are wanted."""
    options = read_options()
    detector = SpeechDetector()
    results: dict[str, Any] = {"detector": detector.identity}
    threshold = 0.0
    for number, (title, folds) in enumerate(ROUNDS.items()):
        cases = make_cases(options.recordings, folds, number)
        heard = listen(detector, cases, title)
        if not number:
            threshold = choose_threshold(heard)
        results[title] = measure(heard, threshold)
        print(f"{title}, speech_peak {threshold}: {json.dumps(results[title], indent=2)}")
    if options.out:
        options.out.write_text(json.dumps(results, indent=2) + "\n")


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    beside = Path(__file__).parents[2] / "shared" / "data" / "esc10"
    parser.add_argument(
        "--recordings",
        type=Path,
        default=Path(os.environ.get("SOUNDWRIGHT_ESC10", beside)),
        help="ESC-10 or ESC-50, in its published layout or with a table metadata.csv",
    )
    parser.add_argument("--out", type=Path, help="where to write the results as JSON")
    return parser.parse_args()


def make_cases(recordings: Path, folds: Sequence[str], number: int) -> list[Case]:
    """All sounds of one round, which shares neither recordings nor scenes, voices, sentences."""
    rng = numpy_stream(number, "speech detection")
    manifest = import_esc(recordings, subset="esc10").manifest
    ambient = []
    for clip in manifest.clips:
        if clip.split in folds:
            sound = read_clip(manifest, clip, sample_rate=RATE, channels=1)
            ambient.append(Case("recording", clip.tags[0], sound.samples[0].numpy()))
    for seed in range(number * SCENES, (number + 1) * SCENES):
        scene = render_scene(compose_scene(ComposerConfig(), seed), sample_rate=RATE)
        ambient.append(Case("scene", "scene", scene.samples[0].numpy()))
    talk = [draw_speech(rng, number) for _ in range(UTTERANCES)]
    cases = [*ambient]
    for speech in talk:
        cases.append(Case("alone", "nothing", speech, 0, len(speech) / RATE))
        behind = ambient[int(rng.integers(len(ambient)))]
        at = int(rng.integers(max(1, len(behind.samples) - len(speech))))
        cases += [mix(behind, speech, at, level, "mixed") for level in LEVELS_DB]
    for count in range(FRAGMENTS):
        cases.append(make_fragment(rng, ambient, talk, LEVELS_DB[count % len(LEVELS_DB)]))
    return cases


def draw_speech(rng: np.random.Generator, number: int) -> np.ndarray:
    """A sentence in a voice of the round, [N] at 16 kHz."""
    sound = espeak.speak(
        str(rng.choice(espeak.SENTENCES[number::2])),
        str(rng.choice(espeak.VOICES[number::2])),
        int(rng.integers(130, 230)),
        int(rng.integers(25, 76)),
    )
    return resample(sound.samples, sound.sample_rate, RATE)[0].numpy()


def make_fragment(
    rng: np.random.Generator, ambient: Sequence[Case], talk: Sequence[np.ndarray], level: int
) -> Case:
    """A clip that begins with the end of a sentence, or ends with the beginning of one."""
    behind = ambient[int(rng.integers(len(ambient)))]
    length = round(rng.uniform(*CLIP_S) * RATE)
    start = int(rng.integers(len(behind.samples) - length))
    clip = replace(behind, samples=behind.samples[start : start + length])
    speech = talk[int(rng.integers(len(talk)))]
    size = round(rng.uniform(*FRAGMENT_S) * RATE)
    if rng.integers(2):
        return mix(clip, speech[:size], length - size, level, "fragment at the end")
    return mix(clip, speech[-size:], 0, level, "fragment at the beginning")


def mix(behind: Case, speech: np.ndarray, at: int, level: int, group: str) -> Case:
    """Add speech from sample `at` on, so many decibels above what is behind it."""
    samples = behind.samples.astype(np.float64)
    speech = speech[: len(samples) - at]
    gain = max(rms(samples), QUIETEST) / rms(speech) * 10 ** (level / 20)
    samples[at : at + len(speech)] += gain * speech
    span = at / RATE, (at + len(speech)) / RATE
    return Case(f"{group}, {level:+} dB", behind.behind, samples, *span, faint=level < 0)


def rms(samples: np.ndarray) -> float:
    """Root of the mean power."""
    return float(np.sqrt(np.square(samples).mean()))


def listen(detector: SpeechDetector, cases: Sequence[Case], title: str) -> list[Heard]:
    """Every case, heard once."""
    rules = {at: SpeechConfig(threshold=at, further=0.7 * at, margin=0) for at in THRESHOLDS}
    heard = []
    with Meter(title, len(cases), unit="sound") as meter:
        for case in cases:
            found = detector.probabilities(torch.from_numpy(case.samples), RATE)
            facts = found, detector.frame_rate, len(case.samples) / RATE
            seconds = {
                at: score_speech(*facts, rule)["speech_seconds"] for at, rule in rules.items()
            }
            peak = score_speech(*facts, detector.config)["speech_peak"]
            heard.append(Heard(case, find_speech(*facts, detector.config), peak, seconds))
            meter.advance()
    return heard


def choose_threshold(heard: Iterable[Heard]) -> float:
    """The highest threshold on `speech_peak` that catches enough clips, to two digits."""
    peaks = [one.peak for one in heard if one.case.seconds and not one.case.faint]
    return math.floor(100 * float(np.quantile(peaks, 1 - LEAST_CAUGHT))) / 100


def measure(heard: Sequence[Heard], threshold: float) -> dict[str, Any]:
    """What is caught and kept at a threshold on `speech_peak`, and at others.

    Returns:
        `speech`: by group, the share of clips caught, of all and of those with 0.15 s of speech or
        more, and the share of speech time in spans.
        `taken_for_speech`: by label, the share of sounds without speech that are caught, and of
        their time in spans. `trade_off`: at each threshold, what `trade` tells; `intervals`: of it,
        of 95 %, at the threshold given and at that of the corpus's presets. `by_seconds`: where a
        clip is caught by more than so many seconds above so high a threshold instead, the pair that
        keeps the most ambient sounds of those that catch enough clips.
    """
    talk = [one for one in heard if one.case.seconds]
    ambient = [one for one in heard if not one.case.seconds]
    pairs = {
        f"more than {least} s above {limit}": trade(
            ambient, talk, lambda one, limit=limit, least=least: one.seconds[limit] > least
        )
        for limit in THRESHOLDS
        for least in LEAST_SECONDS
    }
    enough = {name: row for name, row in pairs.items() if row["caught"] >= LEAST_CAUGHT}
    return {
        "speech": {
            group: {
                "clips": len(some),
                "caught": share(one.peak >= threshold for one in some),
                "caught_syllables": share(
                    one.peak >= threshold for one in some if one.case.seconds >= SYLLABLE_S
                ),
                "time": ratio(map(overlap, some), (one.case.seconds for one in some)),
            }
            for group, some in by(talk, "group").items()
        },
        "taken_for_speech": {
            label: {
                "sounds": len(some),
                "caught": share(one.peak >= threshold for one in some),
                "time": ratio(
                    (end - begin for one in some for begin, end in one.spans),
                    (len(one.case.samples) / RATE for one in some),
                ),
            }
            for label, some in {"all": ambient, **by(ambient, "behind")}.items()
        },
        "intervals": {
            str(limit): {
                name: bounds(flags)
                for name, flags in judge(
                    ambient, talk, lambda one, limit=limit: one.peak >= limit
                ).items()
            }
            for limit in (threshold, PRESET)
        },
        "trade_off": {
            str(limit): trade(ambient, talk, lambda one, limit=limit: one.peak >= limit)
            for limit in (threshold, *THRESHOLDS)
        },
        "by_seconds": dict([max(enough.items(), key=lambda item: item[1]["kept"])]),
    }


def trade(
    ambient: Sequence[Heard], talk: Sequence[Heard], is_caught: Callable[[Heard], bool]
) -> dict[str, float]:
    """Shares of sounds without speech that are kept, and of clips with speech that are caught.

    Sneezes are left out of one; speech that is weaker than what is behind it is told apart.
    """
    return {name: share(flags) for name, flags in judge(ambient, talk, is_caught).items()}


def judge(
    ambient: Sequence[Heard], talk: Sequence[Heard], is_caught: Callable[[Heard], bool]
) -> dict[str, list[bool]]:
    """Sound by sound, what `trade` counts."""
    return {
        "kept": [not is_caught(one) for one in ambient],
        "kept_without_sneezes": [
            not is_caught(one) for one in ambient if one.case.behind != "person sneeze"
        ],
        "caught": [is_caught(one) for one in talk if not one.case.faint],
        "caught_faint": [is_caught(one) for one in talk if one.case.faint],
    }


def by(some: Sequence[Heard], field: str) -> dict[str, list[Heard]]:
    """Those of each group or label, in the order of the names."""
    names = sorted({getattr(one.case, field) for one in some})
    return {name: [one for one in some if getattr(one.case, field) == name] for name in names}


def overlap(heard: Heard) -> float:
    """Seconds of speech that lie in spans."""
    case = heard.case
    shared = (min(end, case.end) - max(begin, case.begin) for begin, end in heard.spans)
    return sum(max(0.0, seconds) for seconds in shared)


def share(flags: Iterable[bool]) -> float:
    """Part of the flags that are set, to four digits."""
    every = list(flags)
    return round(sum(every) / len(every), 4)


def bounds(flags: Sequence[bool]) -> list[float]:
    """Wilson's interval of the part of the flags that are set, to four digits."""
    found = wilson(sum(flags), len(flags))
    return [round(found.low, 4), round(found.high, 4)]


def ratio(parts: Iterable[float], wholes: Iterable[float]) -> float:
    """Of two sums, to four digits."""
    return round(sum(parts) / sum(wholes), 4)


if __name__ == "__main__":
    main()
