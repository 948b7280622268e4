"""Few steps against many: 25 of DPM-Solver++ and 200 of DDPM, from the same seeds.

    python benchmarks/samplers.py [MODEL] [--samples N] [--dtype NAME] [--judge DIR] [--out FILE]

Ten class prompts x N sounds with each sampler, sound i of both with the same seed, guidance and
length the model's own. The judge, which chose nothing, says which class it hears. Printed are the
shares recognised, their difference in points with a bootstrap interval of 95 % over the pairs of
sounds, and the seconds a sound.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from bundled_model import LABELS, RATE, clause, interval
from soundwright.core.files import write_json
from soundwright.evaluation.statistics.paired import mean_interval
from soundwright.pipelines.generation import load
from soundwright.pipelines.latent_model import LatentModel
from soundwright.scorers.tagger import Tagger, judge_folder

SAMPLERS = {"dpm++": 25, "ddpm": 200}
BATCH_SIZE = 20
MOST_POINTS = 5.0


def main() -> None:
    """Generate, listen, print, and write the results where they are wanted."""
    options = read_options()
    model = load(options.model, dtype=options.dtype)
    if not isinstance(model, LatentModel):
        sys.exit(f"{options.model} is no diffusion model")
    judge = Tagger.load(options.judge)
    heard: dict[str, list[bool]] = {name: [] for name in SAMPLERS}
    seconds = dict.fromkeys(SAMPLERS, 0.0)
    for place, label in enumerate(LABELS):
        for name, steps in SAMPLERS.items():
            began = perf_counter()
            sounds = model.generate(
                clause(label),
                num_samples=options.samples,
                seed=place * options.samples,
                sampler=name,
                steps=steps,
                batch_size=BATCH_SIZE,
            )
            seconds[name] += perf_counter() - began
            names = judge.recognise([sound.samples for sound in sounds], RATE)
            heard[name] += [found == label for found in names]
        print(f"{label}: {[sum(heard[name]) for name in SAMPLERS]}", flush=True)
    few, many = (np.array(heard[name], float) for name in SAMPLERS)
    difference = mean_interval(100 * (few - many))
    results: dict[str, Any] = {
        "model": model.name,
        "model_hash": model.hash,
        "judge": judge.name,
        "dtype": options.dtype,
        "sounds": len(few),
        **{
            name: {
                "steps": steps,
                "recognised": float(np.mean(heard[name])),
                "interval": interval(heard[name]),
                "seconds_a_sound": round(seconds[name] / len(few), 3),
            }
            for name, steps in SAMPLERS.items()
        },
        "points": round(difference.estimate, 2),
        "low": round(difference.low, 2),
        "high": round(difference.high, 2),
        "within": bool(max(abs(difference.low), abs(difference.high)) <= MOST_POINTS),
    }
    print(json.dumps(results, indent=2))
    if options.out:
        write_json(options.out, results)


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("model", nargs="?", default="bundled-diffusion", help="name or folder")
    parser.add_argument("--samples", type=int, default=40, help="sounds of each class")
    parser.add_argument("--dtype", default="auto", help="auto, fp32 or bf16")
    parser.add_argument("--judge", type=Path, default=judge_folder())
    parser.add_argument("--out", type=Path, help="where to write the results as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    main()
