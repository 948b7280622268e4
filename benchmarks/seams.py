"""Can the seams between windows be heard? Spectral flux there, and at random positions.

    python benchmarks/seams.py [--model DIR] [--sounds NUMBER] [--seconds NUMBER] [--work DIR]
        [--out FILE]

A model that was trained on 5 s makes sounds of 60 s window by window, each window primed with the
end of the one before. If that left seams, the spectrum would change more, or less, at the frames
where a window begins to be heard than elsewhere. With codebooks that lag behind each other this is
not one frame: tested are that of the first codebook, which is heard most, and that of the last.
Beside them stand naive sounds: 5 s pieces of the same prompt with seeds of their own, one behind
the other.

Spectral flux is the mean over bins of the absolute change of level in dB from one spectrum to the
next (40 ms every 10 ms, floor -80 dB); at a token frame it is the largest within a frame to either
side, for a codec spreads a change. Within each sound, flux is replaced by its rank among all frames
from the first seam on, so that loud or lively sounds do not outweigh others. The permutation test
compares the mean rank at the seams with that at as many frames drawn at random in every sound,
two-sided. With --work what is measured is kept there, and a further run goes on from it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import Tensor
from torch.nn import functional as F

from soundwright.core.files import read_json, write_json
from soundwright.core.progress import Meter
from soundwright.core.seeding import derive_seed, numpy_stream
from soundwright.lm.decoding import DecodingConfig, next_window
from soundwright.lm.model import LmConfig
from soundwright.lm.patterns import Pattern
from soundwright.pipelines.generation import Model, load
from soundwright.pipelines.parts import load_codec
from soundwright.pipelines.rendering import primed_of

PROMPTS = (
    "rain falls steadily",
    "a dog barks",
    "sea waves roll onto the shore",
    "a clock ticks",
    "a helicopter flies overhead",
    "a rooster crows",
    "a fire crackles",
    "a chainsaw runs",
)
SPECTRUM_S, STEP_S, FLOOR_DB = 0.04, 0.01, -80.0
PERMUTATIONS = 10_000
AT_ONCE = 1000
"""Permutations held in memory."""
BATCH = 8
SEED = 1000
"""Of the first sound: no setting was chosen on these."""
LEVEL = 0.05
"""Of significance."""

Flux = NDArray[np.float64]
"""At each frame of a sound."""


def main() -> None:
    """Measure, print, and write the results where they are wanted."""
    options = read_options()
    model = load(options.model)
    window = model.defaults.window
    if window is None or options.seconds < 2 * window:
        sys.exit(f"The model's window is {window} s: a sound of --seconds has no seams.")
    with TemporaryDirectory() as folder:
        work = options.work or Path(folder)
        fluxes = {kind: list(measure(model, options, window, work, kind)) for kind in MAKERS}
    codec, _, _ = load_codec(options.model)
    frames, held, primed = (
        round(seconds * codec.sample_rate / codec.hop_length)
        for seconds in (options.seconds, window, primed_of(window))
    )
    seams = find_seams(LmConfig.read(model.record.parts["lm"]), frames, held, primed)
    results: dict[str, Any] = {
        "model": model.name,
        "model_hash": model.hash,
        "sounds": options.sounds,
        "seconds": options.seconds,
        "window_s": window,
        **{
            name: compare(fluxes["naive" if name == "naive" else "windows"], places, name)
            for name, places in seams.items()
        },
    }
    unheard = all(results[name]["p"] > LEVEL for name in seams if name != "naive")
    results["passes"] = unheard and results["naive"]["p"] < LEVEL
    print(json.dumps(results, indent=2))
    if options.out:
        options.out.write_text(json.dumps(results, indent=2) + "\n")


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", default="bundled", help="one with a window")
    parser.add_argument("--sounds", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=60.0, help="length of each")
    parser.add_argument("--work", type=Path, help="keep here what is measured, and go on from it")
    parser.add_argument("--out", type=Path, help="where to write the results as JSON")
    return parser.parse_args()


def measure(
    model: Model, options: argparse.Namespace, window: float, work: Path, kind: str
) -> Iterator[Flux]:
    """Flux of every sound of one kind, made in batches, or as an earlier run left them.

    Args:
        model: What makes them.
        options: How many, and how long.
        window: Seconds that the model reads at once.
        work: Where each sound's flux is kept.
        kind: windows or naive.
    """
    codec, _, _ = load_codec(options.model)
    rate, hop = codec.sample_rate, codec.hop_length
    with Meter(f"{kind} sounds", options.sounds, unit="sound") as meter:
        for first in range(0, options.sounds, BATCH):
            numbers = range(first, min(options.sounds, first + BATCH))
            names = [f"{kind}-{options.seconds:g}-{model.hash}-{number}" for number in numbers]
            files = [work / f"{name}.json" for name in names]
            if not all(file.is_file() for file in files):
                made = MAKERS[kind](model, numbers, options.seconds, window)
                for file, samples in zip(files, made, strict=True):
                    write_json(file, measure_flux(samples, rate, hop).tolist())
            for file in files:
                meter.advance()
                yield np.array(read_json(file))


def find_seams(config: LmConfig, frames: int, window: int, primed: int) -> dict[str, list[int]]:
    """The frames at which something new begins: of a further window, by codebook, or a piece."""
    lag = Pattern.named(config.pattern, config.codebooks).lag
    decoding = DecodingConfig(window=window, overlap=primed)
    held = decoding.hold(frames, lag)
    whole, done = [], held
    while done < frames:
        whole.append(done)
        done = next_window(done, frames, held, primed)[1]
    # The first codebooks of the next frames were drawn by the window before.
    ahead = [frame + lag for frame in whole if frame + lag < frames]
    pieces = list(range(window, frames, window))
    return {"first_codebook": ahead, "last_codebook": whole, "naive": pieces}


def make_in_windows(
    model: Model, numbers: Sequence[int], seconds: float, _: float
) -> Iterator[Tensor]:
    """Sounds [C, N] by their numbers, which choose prompt and seed, all at once."""
    prompts = [PROMPTS[number % len(PROMPTS)] for number in numbers]
    sounds = model.generate(prompts, duration=seconds, seed=SEED + numbers[0], batch_size=BATCH)
    return (sound.samples for sound in sounds)


def make_of_pieces(
    model: Model, numbers: Sequence[int], seconds: float, window: float
) -> Iterator[Tensor]:
    """The same prompts, each from pieces that know nothing of each other."""
    for number in numbers:
        pieces = model.generate(
            PROMPTS[number % len(PROMPTS)],
            duration=window,
            seed=derive_seed(SEED, "pieces", number),
            num_samples=round(seconds / window),
            batch_size=BATCH,
        )
        yield torch.cat([piece.samples for piece in pieces], dim=1)


MAKERS = {"windows": make_in_windows, "naive": make_of_pieces}


def measure_flux(samples: Tensor, rate: int, hop: int) -> NDArray[np.float64]:
    """Spectral flux at the beginning of each token frame of [C, N], in dB."""
    size, step = round(SPECTRUM_S * rate), round(STEP_S * rate)
    window = torch.hann_window(size, dtype=torch.float64)
    mono = samples.double().mean(dim=0)
    spectrum = torch.stft(mono, size, step, window=window, center=True, return_complex=True)
    level = 20 * torch.log10(spectrum.abs() / (window.sum() / 2) + 10 ** (FLOOR_DB / 20))
    # change[n] lies between spectra n and n + 1.
    change = level.diff(dim=1).abs().mean(dim=0)
    reach = round(hop / step)
    largest = F.max_pool1d(change[None], 2 * reach + 1, stride=1, padding=reach)[0]
    frames = samples.shape[1] // hop
    places = torch.arange(frames) * hop // step
    return largest[places.clamp_max(len(largest) - 1)].numpy()


def compare(fluxes: Sequence[Flux], seams: list[int], name: str) -> dict[str, Any]:
    """The permutation test over sounds of one kind, which have their seams at the same frames."""
    rng = numpy_stream(0, "seams", name)
    places = np.array(seams) - seams[0]
    observed, expected = 0.0, np.zeros(PERMUTATIONS)
    at_seams, elsewhere, count = [], [], 0
    for flux in fluxes:
        begun = flux[seams[0] :]
        ranks = (rankdata(begun) - 0.5) / len(begun)
        observed += ranks[places].sum()
        expected += draw_sums(ranks, len(places), rng)
        count += len(places)
        at_seams.append(begun[places])
        elsewhere.append(np.delete(begun, places))
    middle = expected.mean()
    as_far = np.abs(expected - middle) >= abs(observed - middle)
    return {
        "seams": count,
        "mean_rank_at_seams": round(observed / count, 4),
        "mean_rank_at_random": round(middle / count, 4),
        "flux_at_seams_db": round(float(np.concatenate(at_seams).mean()), 3),
        "flux_elsewhere_db": round(float(np.concatenate(elsewhere).mean()), 3),
        "p": round((1 + int(as_far.sum())) / (1 + PERMUTATIONS), 5),
    }


def draw_sums(
    values: NDArray[np.float64], count: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Sums over `count` of the values, drawn without replacement, for each permutation."""
    sums = []
    for _ in range(PERMUTATIONS // AT_ONCE):
        keys = rng.random((AT_ONCE, len(values)), dtype=np.float32)
        chosen = np.argpartition(keys, count, axis=1)[:, :count]
        sums.append(values[chosen].sum(axis=1))
    return np.concatenate(sums)


if __name__ == "__main__":
    main()
