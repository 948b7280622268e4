"""Measure fingerprints: which copies of recordings match them, and which other recordings do?

    python benchmarks/fingerprints.py --recordings FOLDER [--clips NUMBER] [--out FILE]

Each recording of ESC-10 is changed in ways that a corpus knows: coded, quieter, equalised, cut. The
thresholds of `MatchConfig` were chosen on folds 1 and 2, where no two strangers share two landmarks
at one offset, and are tested on folds 3 and 4. Some clips of ESC-10 are cut from one original file,
and some authors published one recording twice: pairs of one file or one author are counted apart,
all others are strangers, and a match among them is false.

The second part is about scale: fingerprints are drawn at random for a corpus of so many clips, a
twentieth of them copies with a third of the landmarks, and its duplicates are found.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import soundfile
import torch
from torch import Tensor

from soundwright.audio.resampling import resample
from soundwright.audio.sound import Sound
from soundwright.core.records import Clip
from soundwright.core.seeding import numpy_stream
from soundwright.corpus.duplicates import find_duplicates
from soundwright.corpus.fingerprints import DEFAULT_FINGERPRINT, Fingerprint, fingerprint
from soundwright.corpus.matching import DEFAULT_MATCH, Match, agreement, match
from soundwright.corpus.sketches import Sketch, write_sketches
from soundwright.data.importers.esc import import_esc
from soundwright.data.manifest import read_clip
from soundwright.evaluation.statistics.proportions import wilson

TRIED = ("fold1", "fold2")
"""The thresholds come from these."""
KINDS = ("one file", "one author", "strangers")
MP3_LEVEL = 0.88
"""Of libsndfile; with a constant rate, 64 kbit/s at 44.1 kHz."""
CUT_S = 0.37
NOISE_DB = -20.0
TILT_DB = 3.0
SHARD_CLIPS = 500
SCALE_LANDMARKS = 640
SCALE_BITS = 25
COPY_SHARE = 1 / 3
ORIGINALS_A_COPY = 20


@dataclass(frozen=True)
class Recording:
    """A recording and what the changed ones are compared with."""

    clip: Clip
    sound: Sound
    fingerprint: Fingerprint


def main() -> None:
    """Measure, print, and write the results where they are wanted."""
    options = read_options()
    torch.set_num_threads(1)
    manifest = import_esc(options.recordings, subset="esc10").manifest
    sounds = [(clip, read_clip(manifest, clip, channels=1)) for clip in manifest.clips]
    recordings = [Recording(clip, sound, take(sound)) for clip, sound in sounds]
    results = {
        "thresholds": {
            "landmarks": DEFAULT_MATCH.least_landmarks,
            "score": DEFAULT_MATCH.least_score,
        },
        "cost": measure_cost(recordings),
        "recall": measure_recall(recordings),
        "pairs": measure_pairs(recordings),
        "scale": measure_scale(options.clips),
    }
    print_results(results)
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
    parser.add_argument("--clips", type=int, default=100_000, help="of the corpus of random ones")
    parser.add_argument("--out", type=Path, help="where to write the results as JSON")
    return parser.parse_args()


def take(sound: Sound) -> Fingerprint:
    """The fingerprint of a sound."""
    return fingerprint(sound.samples, sound.sample_rate)


def code(sound: Sound, **how: Any) -> Sound:
    """Through a lossy codec and back."""
    buffer = io.BytesIO()
    soundfile.write(buffer, sound.samples[0].numpy(), sound.sample_rate, **how)
    buffer.seek(0)
    samples, rate = soundfile.read(buffer, dtype="float32", always_2d=True)
    return Sound(torch.from_numpy(samples.T.copy()), rate)


def tilt(samples: Tensor) -> Tensor:
    """A straight line over octaves, from so much below to so much above, in decibels."""
    spectrum = torch.fft.rfft(samples)
    octaves = torch.linspace(1e-3, 1, spectrum.shape[-1]).log2()
    level = TILT_DB * (1 - 2 * octaves / octaves[0])
    return torch.fft.irfft(spectrum * 10 ** (level / 20), n=samples.shape[-1])


def resample_twice(sound: Sound) -> Sound:
    """16 kHz, 22.05 kHz and 16 kHz."""
    low = resample(sound.samples, sound.sample_rate, 16_000)
    return Sound(resample(resample(low, 16_000, 22_050), 22_050, 16_000), 16_000)


def halve(samples: Tensor) -> Tensor:
    """The louder half: the other one is silent in some recordings."""
    middle = samples.shape[1] // 2
    return max(samples[:, :middle], samples[:, middle:], key=lambda half: half.square().sum())


def add_noise(samples: Tensor) -> Tensor:
    """White noise at a level below that of the whole."""
    noise = numpy_stream(0, "noise", samples.shape[1]).standard_normal(samples.shape)
    level = samples.square().mean().sqrt() * 10 ** (NOISE_DB / 20)
    return samples + level * torch.from_numpy(noise).float()


def change(edit: Callable[[Tensor], Tensor]) -> Callable[[Sound], Sound]:
    """Of an edit of samples one of sounds."""
    return lambda sound: Sound(edit(sound.samples), sound.sample_rate)


CHANGES: Mapping[str, Callable[[Sound], Sound]] = {
    "mp3, 64 kbit/s": lambda sound: code(
        sound, format="MP3", compression_level=MP3_LEVEL, bitrate_mode="CONSTANT"
    ),
    "ogg, lowest quality": lambda sound: code(
        sound, format="OGG", subtype="VORBIS", compression_level=1.0
    ),
    "gain -12 dB": change(lambda samples: samples * 10 ** (-12 / 20)),
    "tilt of 3 dB": change(tilt),
    "16, 22.05, 16 kHz": resample_twice,
    "begins 0.37 s later": lambda sound: Sound(
        sound.samples[:, round(CUT_S * sound.sample_rate) :], sound.sample_rate
    ),
    "half": change(halve),
    "noise at 20 dB": change(add_noise),
}


def is_test(clip: Clip) -> bool:
    """Whether a clip had no say in the thresholds."""
    return clip.split not in TRIED


def is_match(found: Match | None) -> bool:
    """As `match` judges."""
    least = DEFAULT_MATCH
    return (
        found is not None
        and found.landmarks >= least.least_landmarks
        and found.score >= least.least_score
    )


def share(flags: Sequence[bool]) -> dict[str, Any]:
    """How many flags are set, with Wilson's interval."""
    interval = wilson(sum(flags), len(flags))
    ends = {"low": round(interval.low, 6), "high": round(interval.high, 6)}
    return {"of": len(flags), "set": sum(flags), "share": round(interval.estimate, 6), **ends}


def measure_cost(recordings: Sequence[Recording]) -> dict[str, float]:
    """Time and size of fingerprints, and time of a comparison."""
    seconds = sum(item.sound.duration for item in recordings)
    begin = time.process_time()
    for item in recordings:
        take(item.sound)
    taken = time.process_time() - begin
    pairs = list(combinations(recordings[::10], 2))
    begin = time.process_time()
    for one, other in pairs:
        match(one.fingerprint, other.fingerprint)
    compared = time.process_time() - begin
    sizes = [8 * len(item.fingerprint) * 10 / item.sound.duration for item in recordings]
    return {
        "times_real_time": round(seconds / taken, 1),
        "bytes_of_10_s_median": round(float(np.median(sizes))),
        "bytes_of_10_s_most": round(max(sizes)),
        "microseconds_a_comparison": round(1e6 * compared / len(pairs), 1),
    }


def measure_recall(recordings: Sequence[Recording]) -> dict[str, Any]:
    """Which changed recordings match what they were made of."""
    results = {}
    for name, edit in CHANGES.items():
        found = [
            agreement(item.fingerprint, take(edit(item.sound)), DEFAULT_FINGERPRINT)
            for item in recordings
        ]
        flags = {
            part: [
                is_match(one)
                for one, item in zip(found, recordings, strict=True)
                if is_test(item.clip) == (part == "test")
            ]
            for part in ("tried", "test")
        }
        scores = [0.0 if one is None else one.score for one in found]
        numbers = [0 if one is None else one.landmarks for one in found]
        results[name] = {
            **{part: share(some) for part, some in flags.items()},
            "score_median": round(float(np.median(scores)), 3),
            "score_percentile_5": round(float(np.quantile(scores, 0.05)), 3),
            "landmarks_percentile_5": round(float(np.quantile(numbers, 0.05)), 1),
        }
    return results


def kind_of(one: Clip, other: Clip) -> str:
    """What two recordings have in common by what is known of them."""
    if one.source.item.split("-")[1] == other.source.item.split("-")[1]:
        return "one file"
    return "one author" if one.licence.author == other.licence.author else "strangers"


def measure_pairs(recordings: Sequence[Recording]) -> dict[str, Any]:
    """Which pairs of different recordings match; those with a test recording are the test."""
    flags: dict[str, dict[str, list[bool]]] = {
        part: {kind: [] for kind in KINDS} for part in ("tried", "test")
    }
    most = dict.fromkeys(flags, 0)
    matches = []
    for one, other in combinations(recordings, 2):
        part = "test" if is_test(one.clip) or is_test(other.clip) else "tried"
        kind = kind_of(one.clip, other.clip)
        found = agreement(one.fingerprint, other.fingerprint, DEFAULT_FINGERPRINT)
        flags[part][kind].append(is_match(found))
        if found is not None and kind == "strangers":
            most[part] = max(most[part], found.landmarks)
        if found is not None and is_match(found):
            items = one.clip.source.item, other.clip.source.item
            matches.append({"items": items, "kind": kind, **asdict(found)})
    shares = {
        part: {kind: share(some) for kind, some in kinds.items() if some}
        for part, kinds in flags.items()
    }
    return {**shares, "most_landmarks_of_strangers": most, "matches": matches}


def draw_fingerprints(clips: int) -> Iterator[Fingerprint]:
    """Random ones; of each twenty the last is a copy of the first."""
    rng = numpy_stream(0, "corpus of random fingerprints")
    spread = np.uint32(1 << (32 - SCALE_BITS))
    first = None
    for number in range(clips):
        hashes = rng.integers(1 << SCALE_BITS, size=SCALE_LANDMARKS, dtype=np.uint32) * spread
        times = rng.integers(1000, size=SCALE_LANDMARKS, dtype=np.uint32)
        if number % ORIGINALS_A_COPY == 0:
            first = hashes, times
        elif number % ORIGINALS_A_COPY == ORIGINALS_A_COPY - 1 and first is not None:
            same = rng.random(SCALE_LANDMARKS) < COPY_SHARE
            hashes, times = np.where(same, first[0], hashes), np.where(same, first[1], times)
        order = np.lexsort((times, hashes))
        yield Fingerprint(hashes[order], times[order], 10.0)


def measure_scale(clips: int) -> dict[str, Any]:
    """Duplicates of a corpus of random fingerprints."""
    with TemporaryDirectory() as name:
        folder, made, shard = Path(name), [], []
        for number, drawn in enumerate(draw_fingerprints(clips), start=1):
            shard.append(Sketch(f"{number:020d}", f"{number:064x}", drawn))
            if len(shard) == SHARD_CLIPS or number == clips:
                made.append(folder / f"{len(made):05d}.safetensors")
                write_sketches(made[-1], shard, DEFAULT_FINGERPRINT)
                shard = []
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        busy = time.process_time()
        report = find_duplicates(made, folder / "tables", scratch=folder)
        busy = time.process_time() - busy
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        **asdict(report),
        "copies": clips // ORIGINALS_A_COPY,
        "processor_seconds": round(busy, 1),
        "clips_a_processor_second": round(clips / busy),
        "peak_memory_before_mb": round(before / 1024),
        "peak_memory_mb": round(after / 1024),
    }


def print_results(results: Mapping[str, Any]) -> None:
    """Tables."""
    print(json.dumps({name: results[name] for name in ("thresholds", "cost", "scale")}, indent=2))
    print(f"{'recall on folds 3 and 4':26}{'%':>7}{'interval':>17}{'folds 1, 2':>12}{'score':>8}")
    for name, row in results["recall"].items():
        tried, test = row["tried"], row["test"]
        ends = f"{100 * test['low']:.1f} to {100 * test['high']:.1f}"
        print(
            f"{name:26}{100 * test['share']:7.1f}{ends:>17}{100 * tried['share']:12.1f}"
            f"{row['score_median']:8.2f}"
        )
    for part, title in (("tried", "folds 1 and 2"), ("test", "with folds 3 and 4")):
        for kind, row in results["pairs"][part].items():
            print(
                f"pairs {title}, {kind}: {row['set']} of {row['of']} match "
                f"(at most {1e4 * row['high']:.2f} in 10,000)"
            )
    print("most landmarks of strangers:", results["pairs"]["most_landmarks_of_strangers"])
    for one in results["pairs"]["matches"]:
        print(f"  {one['kind']}: {' and '.join(one['items'])}, score {one['score']:.2f}")


if __name__ == "__main__":
    main()
