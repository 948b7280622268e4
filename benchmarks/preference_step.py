"""What a step of preference optimisation costs, beside two plain steps of the same batch.

    python benchmarks/preference_step.py [--pairs 8] [--seconds 5] [--rounds 10] [--out FILE]

On the networks of bundled-lm and bundled-diffusion, with random weights and frames: a step of DPO
on B pairs, with cached and with live reference scores, and two plain steps on B sounds each,
optimizers included. They take turns, so that what else the machine does falls on all alike; printed
are the medians and, of each round's ratio, the median.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from soundwright.core.devices import choose_device, wait_for
from soundwright.core.protocols import LatentBatch, TextStates, TokenBatch
from soundwright.core.seeding import torch_stream
from soundwright.diffusion.conditioner import Conditioner
from soundwright.diffusion.scoring import ScoringConfig
from soundwright.diffusion.task import DiffusionTask
from soundwright.diffusion.unet import LatentUnet
from soundwright.lm.model import AudioLm
from soundwright.lm.task import LmTask
from soundwright.pipelines.diffusion_recipe import DiffusionRecipe
from soundwright.pipelines.lm_recipe import LmRecipe
from soundwright.pipelines.systems import read_recipe
from soundwright.preference.losses import LossConfig
from soundwright.preference.pair_data import PairBatch, take_rows
from soundwright.preference.policies import (
    DenoisingPolicy,
    Role,
    ScoredPolicy,
    TokenPolicy,
    TokenScoring,
)
from soundwright.preference.references import CachedReference, LiveReference, Reference, freeze
from soundwright.preference.task import PreferenceTask
from soundwright.training.session import Session
from soundwright.training.settings import TrainingConfig

LIMIT = 1.1
TOKEN_RATE, LATENT_RATE, BANDS = 25, 12.5, 8
"""Frames a second of the bundled codecs, and the width of a latent frame."""


class KnownTexts:
    """A text encoder whose texts are all known already, as in a run behind its first epoch."""

    identity = "known"

    def __init__(self, width: int) -> None:
        self.width = width

    def encode(self, texts: Sequence[str]) -> TextStates:
        """Twelve positions of ones each."""
        states = torch.ones(len(texts), 12, self.width)
        return TextStates(states, torch.ones(len(texts), 12, dtype=torch.bool), states[:, 0])


def main() -> None:
    """Measure, print, and write the results where they are wanted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    device = choose_device(options.device)
    results = {
        "pairs": options.pairs,
        "seconds": options.seconds,
        "device": str(device),
        "threads": torch.get_num_threads(),
        "lm": measure(*token_tasks(options.pairs, options.seconds), options.rounds, device),
        "diffusion": measure(*latent_tasks(options.pairs, options.seconds), options.rounds, device),
        "limit": LIMIT,
    }
    print(json.dumps(results, indent=2))
    if options.out:
        options.out.write_text(json.dumps(results, indent=2) + "\n")


def token_tasks(pairs: int, seconds: float) -> tuple[Any, Callable[[], ScoredPolicy[Any]], Any]:
    """The plain task, a maker of policies, and a batch, of the language model."""
    recipe = read_recipe("bundled-lm")
    assert isinstance(recipe, LmRecipe)
    config, frames = recipe.lm, round(seconds * TOKEN_RATE)
    encoder = KnownTexts(config.text_width)
    tokens = torch.randint(
        config.codebook_size,
        (2 * pairs, config.codebooks, frames),
        generator=torch_stream(0, "tokens"),
    )
    mask = torch.ones(2 * pairs, frames, dtype=torch.bool)
    batch = TokenBatch(tokens, mask, ("rain",) * (2 * pairs))
    return (
        LmTask(AudioLm(config), encoder, recipe.task, 0),
        lambda: TokenPolicy(AudioLm(config), encoder, TokenScoring()),
        batch,
    )


def latent_tasks(pairs: int, seconds: float) -> tuple[Any, Callable[[], ScoredPolicy[Any]], Any]:
    """The plain task, a maker of policies, and a batch, of the diffusion model."""
    recipe = read_recipe("bundled-diffusion")
    assert isinstance(recipe, DiffusionRecipe)
    config, frames = recipe.unet, round(seconds * LATENT_RATE)
    assert config is not None
    encoder = KnownTexts(config.text_width)
    shape = (2 * pairs, config.channels, frames, BANDS)
    mean = torch.randn(shape, generator=torch_stream(0, "latents"))
    mask = torch.ones(2 * pairs, frames, dtype=torch.bool)
    texts, draws = ("rain",) * (2 * pairs), tuple(range(2 * pairs))
    batch = LatentBatch(mean, torch.full(shape, 0.1), mask, texts, texts, draws)
    return (
        DiffusionTask(LatentUnet(config), Conditioner(encoder), recipe.task, 0),
        lambda: DenoisingPolicy(LatentUnet(config), Conditioner(encoder), ScoringConfig(), 0),
        batch,
    )


def measure(
    plain: Any,
    make: Callable[[], ScoredPolicy[Any]],
    frames: Any,
    rounds: int,
    device: torch.device,
) -> dict[str, float]:
    """Seconds of each kind of step, and their ratios to two plain ones."""
    count = len(frames.texts) // 2
    names = tuple(f"pair{number}" for number in range(count))
    pairs = PairBatch(frames, names, (0,) * count, ())
    half = take_rows(frames, count)
    scores: dict[tuple[str, Role], float] = {}
    for name in names:
        scores |= {(f"{name}-0", "winner"): 0.0, (f"{name}-0", "loser"): 0.0}
    cached, live = make(), make()
    live.module.to(device)
    steps = {
        "two plain": (session(plain, device), half, 2),
        "cached": (
            session(prefer(cached, CachedReference(scores, by_epoch=True)), device),
            pairs,
            1,
        ),
        "live": (session(prefer(live, LiveReference(freeze(live))), device), pairs, 1),
    }
    times: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(rounds + 1):
        for name, (running, batch, repeats) in steps.items():
            began = time.perf_counter()
            for _ in range(repeats):
                running.step([batch], wants_metrics=False)
            wait_for(device)
            if number:  # The first round warms up.
                times[name].append(time.perf_counter() - began)
    found = {f"{name}, s": statistics.median(values) for name, values in times.items()}
    for name in ("cached", "live"):
        ratios = [one / two for one, two in zip(times[name], times["two plain"], strict=True)]
        found[f"{name} / two plain"] = statistics.median(ratios)
    return found


def prefer(policy: ScoredPolicy[Any], reference: Reference) -> PreferenceTask:
    """DPO, from the first step on."""
    return PreferenceTask(policy, reference, LossConfig(beta=0.1))


def session(task: Any, device: torch.device) -> Session:
    """The task with its optimizer."""
    config = TrainingConfig.read(
        {"steps": 1000, "device": str(device), "average": None, "precision": "fp32"}
    )
    return Session(task, config, device)


if __name__ == "__main__":
    main()
