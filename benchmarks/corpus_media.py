"""Media with transcripts of which the truth is known: for measuring the corpus builder.

    python benchmarks/corpus_media.py --recordings FOLDER --out DIR [--files N] [--seed N]

Each file is a made-up video's sound: stretches of ESC-10 recordings and of composed scenes, and
between them sentences that espeak-ng speaks, some alone, some over the sound. Its transcript is as
imperfect as published ones: every cue is off by up to 150 ms at each end, 5 % of the cues are
missing, and of the files a third has rolling captions that repeat their last line. `truth.jsonl`
says when there really is speech. The same seed gives the same files.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from espeak import VOICES, speak
from soundwright.audio.files import write
from soundwright.audio.loudness import rms_db
from soundwright.audio.resampling import resample
from soundwright.audio.sound import Sound
from soundwright.core.files import write_text
from soundwright.core.progress import Meter
from soundwright.core.seeding import numpy_stream
from soundwright.data.importers.esc import import_esc
from soundwright.data.manifest import Manifest, read_clip
from soundwright.synthesis.rendering import render_scene
from soundwright.synthesis.scenes import ComposerConfig, compose_scene

RATE = 22_050
JITTER_S = 0.15
MISSING = 0.05
SPEECH_DB = -23.0
BED_DB = (-45.0, -30.0)
"""Level of the sound below speech, where there is any."""
SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
SENTENCES = 240
"""Different ones; each has a voice, speed and pitch of its own."""
SUBJECTS = ("this old engine", "the river behind me", "our dog", "that bird", "the weather today",
            "the little mill", "everyone here", "the road to town")  # fmt: skip
VERBS = ("sounds quite different", "was recorded last winter", "will start in a moment",
         "never stops", "is louder than I thought", "has been here for years",
         "makes me think of home", "needs some oil")  # fmt: skip
ENDINGS = ("", " as you can hear", " so let us listen", " and nobody knows why",
           " when the wind turns", " in the early morning")  # fmt: skip

Span = tuple[float, float]


@dataclass(frozen=True)
class Utterance:
    """A sentence and where it is heard."""

    text: str
    span: Span


def main() -> None:
    """Make the files."""
    options = read_options()
    make_media(options.recordings, options.out, options.files, options.seed)


def make_media(recordings: Path, out: Path, files: int, seed: int) -> Path:
    """Write `files` media with transcripts and `truth.jsonl`; what is there already stays.

    Args:
        recordings: ESC-10.
        out: The folder.
        files: How many.
        seed: Same seed, same bytes.

    Returns:
        The folder of the media.
    """
    corpus = import_esc(recordings, subset="esc10").manifest
    truth: list[dict[str, Any]] = []
    media = out / "media"
    with Meter("media", files, unit="file") as meter:
        for number in range(files):
            truth.append(make_one(corpus, media, number, seed))
            meter.advance()
    write_text(out / "truth.jsonl", "".join(json.dumps(one) + "\n" for one in truth))
    return media


def make_one(corpus: Manifest, folder: Path, number: int, seed: int) -> dict[str, Any]:
    """One file with its transcript; gives what is true of it."""
    rng = numpy_stream(seed, "media", number)
    parts: list[np.ndarray] = []
    said: list[Utterance] = []
    begin = 0.0
    for block in range(int(rng.integers(3, 7))):
        if block % 2 == int(number % 2):
            samples = ambience(corpus, rng, float(rng.uniform(5.0, 20.0)))
        else:
            samples, spans = talk(corpus, rng)
            said += [Utterance(text, (begin + start, begin + end)) for text, (start, end) in spans]
        parts.append(samples)
        begin += len(samples) / RATE
    name = f"video-{number:04d}"
    path = folder / f"{name}{SUFFIXES[number % len(SUFFIXES)]}"
    samples = np.concatenate(parts).astype(np.float32)
    if not path.is_file():
        write(path, Sound(torch.from_numpy(samples)[None].clamp(-1, 1), RATE))
    write_transcript(folder / name, said, rng, rolling=number % 3 == 0, form=number % 4)
    return {
        "file": path.name,
        "duration": begin,
        "speech": [list(one.span) for one in said],
    }


def ambience(corpus: Manifest, rng: np.random.Generator, seconds: float) -> np.ndarray:
    """So many seconds of recordings and scenes, one after another."""
    parts: list[np.ndarray] = []
    while sum(map(len, parts)) < seconds * RATE:
        if rng.random() < 0.7:
            clip = corpus.clips[int(rng.integers(len(corpus.clips)))]
            sound = read_clip(corpus, clip, sample_rate=RATE, channels=1)
        else:
            config = ComposerConfig.model_validate({"duration": 5.0})
            scene = compose_scene(config, int(rng.integers(1 << 31)))
            sound = render_scene(scene, None, 16_000)
            sound = Sound(resample(sound.samples, 16_000, RATE), RATE)
        parts.append(sound.samples[0].numpy())
    return np.concatenate(parts)[: round(seconds * RATE)]


def talk(corpus: Manifest, rng: np.random.Generator) -> tuple[np.ndarray, list[tuple[str, Span]]]:
    """One to three sentences with short pauses, in half of the cases over a quiet bed."""
    parts: list[np.ndarray] = []
    spans: list[tuple[str, Span]] = []
    begin = 0.0
    for _ in range(int(rng.integers(1, 4))):
        text, samples = spoken(int(rng.integers(SENTENCES)))
        pause = round(float(rng.uniform(0.15, 0.6)) * RATE)
        spans.append((text, (begin, begin + len(samples) / RATE)))
        parts += [samples, np.zeros(pause, np.float32)]
        begin += (len(samples) + pause) / RATE
    whole = np.concatenate(parts)
    if rng.random() < 0.5:
        bed = ambience(corpus, rng, len(whole) / RATE)
        whole = whole + bed * 10 ** ((float(rng.uniform(*BED_DB)) - level_db(bed)) / 20)
    return whole, spans


@functools.cache
def spoken(number: int) -> tuple[str, np.ndarray]:
    """Sentence `number` and its sound, without the silence around it, at the level of speech."""
    rng = numpy_stream(0, "sentence", number)
    text = " ".join(str(rng.choice(part)) for part in (SUBJECTS, VERBS)) + str(rng.choice(ENDINGS))
    voice = VOICES[int(rng.integers(len(VOICES)))]
    sound = speak(text, voice, int(rng.integers(130, 210)), int(rng.integers(30, 70)))
    samples = resample(sound.samples, sound.sample_rate, RATE)[0].numpy()
    heard = np.flatnonzero(np.abs(samples) > 0.01 * np.abs(samples).max())
    samples = samples[heard[0] : heard[-1] + 1]
    return text, (samples * 10 ** ((SPEECH_DB - level_db(samples)) / 20)).astype(np.float32)


def level_db(samples: np.ndarray) -> float:
    """RMS level; a silent bed counts as quiet."""
    return max(rms_db(torch.from_numpy(np.ascontiguousarray(samples, np.float32))[None]), -80.0)


def write_transcript(
    stem: Path, said: list[Utterance], rng: np.random.Generator, *, rolling: bool, form: int
) -> None:
    """What a published transcript would say of it."""
    cues: list[tuple[float, float, str]] = []
    for one in said:
        start, end = (max(0.0, edge + float(rng.uniform(-JITTER_S, JITTER_S))) for edge in one.span)
        if rng.random() >= MISSING:
            cues.append((start, max(end, start + 0.1), one.text))
    if rolling:
        write_text(stem.with_suffix(".en.vtt"), rolling_vtt(cues))
    elif form == 0:
        write_text(stem.with_suffix(".en.json3"), json3(cues))
    elif form == 1:
        write_text(stem.with_suffix(".en.srt"), srt(cues))
    else:
        write_text(stem.with_suffix(".en.vtt"), vtt(cues))


def clock(seconds: float, point: str) -> str:
    """Hours, minutes, seconds and milliseconds."""
    whole = round(seconds * 1000)
    return (
        f"{whole // 3_600_000:02d}:{whole // 60_000 % 60:02d}:{whole // 1000 % 60:02d}"
        f"{point}{whole % 1000:03d}"
    )


def vtt(cues: list[tuple[float, float, str]]) -> str:
    """WebVTT."""
    lines = ["WEBVTT", ""]
    for start, end, text in cues:
        lines += [f"{clock(start, '.')} --> {clock(end, '.')}", text, ""]
    return "\n".join(lines)


def srt(cues: list[tuple[float, float, str]]) -> str:
    """SubRip."""
    lines: list[str] = []
    for number, (start, end, text) in enumerate(cues, start=1):
        lines += [str(number), f"{clock(start, ',')} --> {clock(end, ',')}", text, ""]
    return "\n".join(lines)


def json3(cues: list[tuple[float, float, str]]) -> str:
    """YouTube's own form."""
    events = [
        {
            "tStartMs": round(start * 1000),
            "dDurationMs": round((end - start) * 1000),
            "segs": [{"utf8": text}],
        }
        for start, end, text in cues
    ]
    return json.dumps({"wireMagic": "pb3", "events": events})


def rolling_vtt(cues: list[tuple[float, float, str]]) -> str:
    """As automatic captions are: each cue repeats the line before and times every word."""
    lines = ["WEBVTT", "Kind: captions", "Language: en", ""]
    before = " "
    for start, end, text in cues:
        words = text.split()
        step = (end - start) / len(words)
        timed = words[0] + "".join(
            f"<{clock(start + step * place, '.')}><c> {word}</c>"
            for place, word in enumerate(words[1:], start=1)
        )
        settings = "align:start position:0%"
        lines += [f"{clock(start, '.')} --> {clock(end, '.')} {settings}", before, timed, ""]
        lines += [f"{clock(end, '.')} --> {clock(end + 0.01, '.')} {settings}", text, " ", ""]
        before = text
    return "\n".join(lines)


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--recordings", type=Path, required=True, help="folder of ESC-10")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--files", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
