"""Networks of diffusion side by side: do their sounds show the class that the words name?

    python benchmarks/genau_study.py MODEL [MODEL ...] --recordings FOLDER [--sounds N]
        [--guidance X ...] [--judge DIR] [--out FILE]

Each model makes N sounds (24) of each of ten class prompts with its own defaults and the seeds
0, 1, ..., all counted. The judge, trained on folds 1-3 of ESC-10, names them, and beside them the
recordings of fold 4 as they are and behind the model's own autoencoder and vocoder. What a network
loses is the ratio of the two. Its interval, and that of the difference between two models, are
bootstraps of 95 %: over recordings and over sounds within each class; between models over the same
prompts and seeds. Beside each stand the weights of its network, and steps, items and seconds of its
training; `genau_flops.py` counts operations.

--guidance is for choosing, before anything is measured: with each guidance half as many sounds of
the same prompts, with seeds that are not measured, named by the second tagger and not by the judge.
"""

from __future__ import annotations

import argparse
import json
import os
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bundled_model import LABELS, RATE, clause, interval, make, read_waveform, report, share
from latent_codec import rebuilders
from soundwright.core.files import write_json
from soundwright.core.seeding import numpy_stream
from soundwright.data.importers.esc import import_esc
from soundwright.pipelines.generation import load
from soundwright.pipelines.models import find_model, read_record
from soundwright.pipelines.parts import load_latent_codec, load_network
from soundwright.scorers.tagger import Tagger, judge_folder, tagger2_folder

DRAWS = 4000
FIRST_TRIED = 1000
"""Seed of the first sound that guidance is chosen with."""
Flags = NDArray[np.bool_]


def main() -> None:
    """Measure, print, write."""
    options = read_options()
    judge = Tagger.load(options.judge)
    recordings = import_esc(options.recordings, subset="esc10").manifest
    clips = [clip for clip in recordings.clips if clip.split == "fold4"]
    waveforms = [read_waveform(recordings, clip) for clip in clips]
    truth = [clip.tags[0] for clip in clips]
    real = [
        judge.recognise([one], RATE)[0] == label
        for one, label in zip(waveforms, truth, strict=True)
    ]
    chosen = [try_guidance(name, options) for name in options.models] if options.guidance else []
    results: dict[str, Any] = {
        "guidance": chosen,
        "judge": judge.name,
        "recordings": {"clips": len(real), "recognised": share(real), "interval": interval(real)},
        "models": [],
        "differences": [],
    }
    heard: dict[str, Flags] = {}
    for name in options.models:
        behind = hear_behind_codec(judge, name, waveforms, truth)
        made = hear_sounds(judge, name, options.sounds)
        found = describe(name) | summarise(behind, made)
        heard[found["model"]] = made
        results["models"].append(found)
        report(found)
    for one, other in combinations(heard, 2):
        results["differences"].append(compare(one, heard[one], other, heard[other]))
        report(results["differences"][-1])
    if options.out:
        write_json(options.out, results)


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument(
        "--recordings",
        type=Path,
        default=os.environ.get("SOUNDWRIGHT_ESC10"),
        required="SOUNDWRIGHT_ESC10" not in os.environ,
    )
    parser.add_argument("--sounds", type=int, default=24, help="of each class")
    parser.add_argument("--guidance", type=float, nargs="+", default=[], metavar="X")
    parser.add_argument("--judge", type=Path, default=judge_folder())
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


@torch.inference_mode()
def try_guidance(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Shares of sounds that the second tagger names as asked, by guidance."""
    model: Any = load(name)
    tagger = Tagger.load(tagger2_folder())
    count = max(1, options.sounds // 2)
    found: dict[str, Any] = {"model": name, "tagger": tagger.name, "recognised": {}}
    for scale in options.guidance:
        heard = []
        for label in LABELS:
            sounds = model.generate(
                clause(label),
                num_samples=count,
                batch_size=count,
                seed=FIRST_TRIED,
                cfg_scale=scale,
            )
            named = tagger.recognise([sound.samples for sound in sounds], RATE)
            heard += [one == label for one in named]
        found["recognised"][str(scale)] = {"share": share(heard), "interval": interval(heard)}
    report(found)
    return found


@torch.inference_mode()
def hear_behind_codec(
    judge: Tagger, name: str, waveforms: list[torch.Tensor], truth: list[str]
) -> Flags:
    """Whether the judge names recordings behind a model's codec: posterior means, the vocoder."""
    rebuild = rebuilders(load_latent_codec(name)[0])["after_codec"]
    return np.array(
        [
            judge.recognise([rebuild(one)[:, : one.shape[1]]], RATE)[0] == label
            for one, label in zip(waveforms, truth, strict=True)
        ]
    )


def hear_sounds(judge: Tagger, name: str, count: int) -> Flags:
    """Whether the judge names what was asked for, [classes, sounds]."""
    model: Any = load(name)
    return np.array(
        [
            [heard == label for heard in judge.recognise(make(model, clause(label), count), RATE)]
            for label in LABELS
        ]
    )


def describe(name: str) -> dict[str, Any]:
    """What a model is and what it took."""
    folder = find_model(name)
    record = read_record(folder)
    network = load_network(record, folder)
    training = record.recipe["training"]
    found: dict[str, Any] = {
        "model": record.name,
        "model_hash": record.hash,
        "weights": sum(one.numel() for one in network.parameters()),
        "steps": training["steps"],
        "items_a_step": record.recipe["segments"]["batch"],
    }
    log = folder.parent / "metrics.jsonl"
    if log.is_file():
        rows = [json.loads(line) for line in log.read_text().splitlines()]
        seconds = [row["step_s"] for row in rows if "step_s" in row]
        found["median_seconds_a_step"] = round(float(np.median(seconds)), 3)
    return found


def summarise(behind: Flags, made: Flags) -> dict[str, Any]:
    """Shares, and their ratio."""
    chance = numpy_stream(0, "ratio")
    ratios = []
    for _ in range(DRAWS):
        below = behind[chance.integers(len(behind), size=len(behind))].mean()
        above = redraw(made, chance).mean()
        ratios.append(above / max(below, 1e-9))
    return {
        "sounds": int(made.size),
        "recognised": share(made.ravel().tolist()),
        "interval": interval(made.ravel().tolist()),
        "behind_its_codec": share(behind.tolist()),
        "behind_its_codec_interval": interval(behind.tolist()),
        "ratio": round(float(made.mean() / behind.mean()), 4),
        "ratio_interval": ends(ratios),
        "by_class": {label: share(row.tolist()) for label, row in zip(LABELS, made, strict=True)},
    }


def compare(one: str, ours: Flags, other: str, theirs: Flags) -> dict[str, Any]:
    """One model less another, on the same prompts and seeds."""
    chance = numpy_stream(0, "difference")
    apart = ours.astype(float) - theirs.astype(float)
    draws = [float(redraw(apart, chance).mean()) for _ in range(DRAWS)]
    return {
        "first": one,
        "second": other,
        "difference": round(float(apart.mean()), 4),
        "interval": ends(draws),
    }


def redraw(rows: NDArray[Any], chance: np.random.Generator) -> NDArray[Any]:
    """As many sounds of each class, drawn with replacement."""
    places = chance.integers(rows.shape[1], size=rows.shape)
    return np.take_along_axis(rows, places, axis=1)


def ends(draws: list[float]) -> list[float]:
    """The middle 95 %."""
    low, high = np.percentile(draws, [2.5, 97.5])
    return [round(float(low), 4), round(float(high), 4)]


if __name__ == "__main__":
    main()
