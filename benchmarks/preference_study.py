"""Does alignment with a model's own sounds change what is heard? Base and aligned, seed by seed.

    python benchmarks/preference_study.py MODEL --recipe NAME --captions MANIFEST --work DIR
        [--seeds N] [--pool N] [--clusters N] [--each N] [--strategies NAMES] [--steps N]
        [--set KEY=VALUE ...] [--out FILE]

For each seed, everything anew: captions are chosen from MANIFEST (what the model was trained on),
perturbed by rules, sounds made, paired by the bundled matcher, and the model aligned. Then base and
aligned model make the same prompts with the same seeds, which are others for each seed of the
study. What is heard is told by scorers that took no part in choosing: the judge names classes, and
onsets are counted in the waveform. No prompt of the measurement is a caption of a pair.

Printed are means over seeds and prompts and the difference with its interval of 95 %, seeds and
prompts crossed. WORK keeps all; the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from bundled_model import COUNTABLE, LABELS, NUMBERS, OTHER_WORDS, RATE, clause, hear_halves
from soundwright.audio.loudness import rms_db
from soundwright.audio.sound import Sound
from soundwright.core.files import read_json, write_json
from soundwright.core.progress import Meter
from soundwright.data.manifest import read_manifest
from soundwright.evaluation.statistics.seeds import seeded_difference
from soundwright.pipelines.generation import load
from soundwright.preference.judges import Judge, open_judge
from soundwright.preference.pairing import read_rejected
from soundwright.preference.record_files import read_pairs
from soundwright.preference.statistics import describe_pairs
from soundwright.scorers.tagger import Tagger, judge_folder
from soundwright.synthesis.captions import class_prompts
from soundwright.synthesis.recordings import find_events

SAMPLES = 4
"""Sounds a prompt, of each model in each seed of the study."""
FIRST_SEED = 100_000
"""Of the sounds that are measured; those of pairs have hashes for seeds."""
Hear = Callable[[Tensor], float]


@dataclass(frozen=True)
class Prompt:
    """What is asked for, and what then is right."""

    axis: str
    text: str
    hear: Hear
    """1 or 0 for the samples [1, N] of a sound."""


def main() -> None:
    """Make, align, measure and print."""
    options = read_options()
    prompts = gather_prompts(Tagger.load(judge_folder()))
    texts = read_texts(options.captions, {prompt.text for prompt in prompts})
    reward = open_judge("matcher")
    tables: dict[str, list[np.ndarray]] = {"base": [], "aligned": []}
    pairs = []
    for seed in range(options.seeds):
        place = options.work / f"seed-{seed}"
        captions = place / "texts.txt"
        captions.parent.mkdir(parents=True, exist_ok=True)
        drawn = random.Random(seed).sample(texts, min(options.pool, len(texts)))
        captions.write_text("\n".join(drawn) + "\n", encoding="utf-8")
        pairs.append(align(options, captions, place, seed))
        for name, model in (("base", options.model), ("aligned", str(place / "run" / "model"))):
            path = place / f"{name}.json"
            if not path.is_file():
                write_json(path, measure(model, prompts, reward, FIRST_SEED * (seed + 1)))
            tables[name].append(np.array(read_json(path)))
    results = {
        "model": options.model,
        "recipe": options.recipe,
        "set": options.set,
        "seeds": options.seeds,
        "pairs": pairs,
        "axes": summarise(prompts, tables),
    }
    report(results)
    if options.out:
        write_json(options.out, results)


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("model", help="name or folder of the model to align")
    parser.add_argument("--recipe", required=True, help="such as prefer-lm or prefer-diffusion")
    parser.add_argument("--captions", type=Path, required=True, help="manifest of training clips")
    parser.add_argument("--work", type=Path, required=True, help="folder for all that is made")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--pool", type=int, default=160, help="captions that a seed draws")
    parser.add_argument("--clusters", type=int, default=15)
    parser.add_argument("--each", type=int, default=4, help="captions of a cluster")
    parser.add_argument("--strategies", default="S1.2,S2,S3")
    parser.add_argument("--steps", type=int, default=25, help="of a diffusion model's rollouts")
    parser.add_argument("--set", action="append", default=[], help="overrides of the recipe")
    parser.add_argument("--out", type=Path, help="where to write the results as JSON")
    return parser.parse_args()


def gather_prompts(judge: Tagger) -> list[Prompt]:
    """Classes in four wordings, events in order, and counted ones."""

    def is_class(label: str) -> Hear:
        return lambda samples: judge.recognise([samples], RATE)[0] == label

    def are_in_order(first: str, second: str) -> Hear:
        def hear(samples: Tensor) -> float:
            halves = hear_halves(judge, samples)
            heard = [max(half, key=half.__getitem__) for half in halves]
            return heard == [first, second]

        return hear

    def is_count(label: str, count: int) -> Hear:
        def hear(samples: Tensor) -> float:
            found = len(find_events(Sound(samples, RATE)))
            return found == count and judge.recognise([samples], RATE)[0] == label

        return hear

    prompts = [
        Prompt("class", text, is_class(label))
        for label in LABELS
        for text in (*class_prompts(label)[:3], OTHER_WORDS[label])
    ]
    for place, first in enumerate(LABELS):
        for second in (LABELS[(place + 3) % 10], LABELS[(place + 7) % 10]):
            text = f"{clause(first)}, then {clause(second)}"
            prompts.append(Prompt("order", text, are_in_order(first, second)))
    for label in COUNTABLE:
        for count, words in enumerate(NUMBERS[1:], start=1):
            prompts.append(Prompt("count", f"{clause(label)} {words}", is_count(label, count)))
    return prompts


def read_texts(manifest: Path, measured: set[str]) -> list[str]:
    """The first captions of training clips, without those that are prompts of the measurement."""
    held_out = {plain(text) for text in measured}
    clips = read_manifest(manifest).clips
    texts = (clip.captions[0].text for clip in clips if clip.split != "validation")
    return list(dict.fromkeys(text for text in texts if plain(text) not in held_out))


def plain(text: str) -> str:
    """A caption without what does not change what it says."""
    return text.lower().strip(" .")


def align(options: argparse.Namespace, captions: Path, place: Path, seed: int) -> dict[str, Any]:
    """One seed of the study: captions, sounds, pairs, alignment; returns Table 2 of its pairs."""
    chosen, wrong, pairs = place / "captions.jsonl", place / "perturbed.jsonl", place / "pairs"
    rollouts, run = place / "rollouts", place / "run"
    number = ("--seed", str(seed))
    call("prefer", "captions", captions, "--out", chosen, "--clusters", options.clusters,
         "--each", options.each, *number)  # fmt: skip
    call("prefer", "perturb", chosen, "--out", wrong, *number)
    call("prefer", "rollout", chosen, "--perturbed", wrong, "--model", options.model,
         "--strategies", options.strategies, "--set", f"steps={options.steps}",
         "--out", rollouts, *number)  # fmt: skip
    call("prefer", "pair", rollouts, "--out", pairs)
    if not (run / "model" / "model.json").is_file():
        overrides = (f"from_model={options.model}", f"pairs={pairs}", f"training.seed={seed}")
        sets = [word for value in (*overrides, *options.set) for word in ("--set", value)]
        resume = ("--resume",) if (run / "recipe.json").is_file() else ()
        call("train", options.recipe, *sets, "--out", run, *resume)
    found = describe_pairs(read_pairs(pairs).items, read_rejected(pairs).items)
    return {key: found[key] for key in ("pairs", "candidates", "table")}


def call(*words: object) -> None:
    """Run a command of soundwright, and stop with it where it fails."""
    command = [sys.executable, "-m", "soundwright", *map(str, words)]
    print("$ soundwright", *map(str, words), flush=True)
    subprocess.run(command, check=True)


def measure(name: str, prompts: Sequence[Prompt], reward: Judge, seed: int) -> list[list[float]]:
    """[P, 3]: means over a prompt's sounds of what is right, the reward, and the level in dB."""
    model = load(name)
    rows = []
    with Meter(f"measure {name}", len(prompts), unit="prompt") as meter:
        for place, prompt in enumerate(prompts):
            first = seed + place * SAMPLES
            sounds = model.generate(
                prompt.text, num_samples=SAMPLES, seed=first, batch_size=SAMPLES
            )
            waveforms = [sound.samples for sound in sounds]
            heard = [prompt.hear(samples) for samples in waveforms]
            said = reward.score(waveforms, model.sample_rate, [prompt.text] * SAMPLES)
            rewards = [score for score in said if score is not None]
            levels = [max(rms_db(samples), -100.0) for samples in waveforms]
            rows.append([float(np.mean(part)) for part in (heard, rewards, levels)])
            meter.advance()
    return rows


def summarise(
    prompts: Sequence[Prompt], tables: dict[str, list[np.ndarray]]
) -> dict[str, dict[str, Any]]:
    """Each axis: both models, their difference and its interval."""
    new, old = (np.stack(tables[name]) for name in ("aligned", "base"))
    axes = np.array([prompt.axis for prompt in prompts])
    every = np.ones(len(prompts), bool)
    columns = [(axis, axes == axis, 0) for axis in dict.fromkeys(axes)]
    columns += [("reward (the matcher, which chose)", every, 1), ("level, dB", every, 2)]
    found = {}
    for name, chosen, column in columns:
        difference = seeded_difference(
            new[:, chosen, column], old[:, chosen, column], paired_seeds=True
        )
        found[name] = {
            "prompts": int(chosen.sum()),
            "base": float(old[:, chosen, column].mean()),
            "aligned": float(new[:, chosen, column].mean()),
            "difference": difference.estimate,
            "low": difference.crossed.low,
            "high": difference.crossed.high,
            "seeds": [float(one) for one in (new - old)[:, chosen, column].mean(axis=1)],
        }
    return found


def report(results: dict[str, Any]) -> None:
    """The table of the page."""
    print("| axis | prompts | base | aligned | difference | 95 % | by seed |")
    print("|---|---|---|---|---|---|---|")
    for name, row in results["axes"].items():
        numbers = " | ".join(f"{row[key]:.3f}" for key in ("base", "aligned"))
        seeds = ", ".join(f"{one:+.3f}" for one in row["seeds"])
        print(
            f"| {name} | {row['prompts']} | {numbers} | {row['difference']:+.3f} | "
            f"{row['low']:+.3f} to {row['high']:+.3f} | {seeds} |"
        )


if __name__ == "__main__":
    main()
