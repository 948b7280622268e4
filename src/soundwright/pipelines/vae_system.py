"""Training an autoencoder of spectrograms from a recipe."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import torch

from soundwright.codecs.frames import pad_to_frames
from soundwright.codecs.mel_autoencoder import MelAutoencoder
from soundwright.codecs.mel_vae_task import MelVaeTask, MelVaeTaskConfig
from soundwright.core.protocols import AudioBatch
from soundwright.data.segments import SegmentConfig
from soundwright.pipelines.cards import describe_latents, write_card
from soundwright.pipelines.corpora import cut_waveforms
from soundwright.pipelines.jobs import Job, Workplace
from soundwright.pipelines.latent_codecs import VaeChoice, build_vae
from soundwright.pipelines.models import write_model
from soundwright.pipelines.recipe import Recipe
from soundwright.training.checkpoints import read_weights

SCALE_BATCHES = 16
"""Training batches over which the spread of latents is measured."""


class VaeRecipe(Recipe):
    """Train an autoencoder; its `scale` is measured at the end, whatever the recipe says."""

    kind: Literal["vae"]  # type: ignore[assignment]
    vae: VaeChoice
    segments: SegmentConfig = SegmentConfig()
    task: MelVaeTaskConfig = MelVaeTaskConfig()


def prepare_vae(recipe: VaeRecipe, place: Workplace) -> Job[Any]:
    """Everything that the loop needs to train the autoencoder of a recipe."""
    vae = build_vae(recipe.vae, recipe.training.seed)
    seed, rate = recipe.training.seed, vae.config.mel.sample_rate
    sounds = cut_waveforms(
        recipe.data, recipe.segments, place.data, sample_rate=rate, channels=1, seed=seed
    )

    def save(checkpoint: Path, folder: Path) -> None:
        weights, _ = read_weights(checkpoint, "vae")
        vae.load_state_dict(weights)
        scale = measure_scale(vae, (sounds.batches[number] for number in range(SCALE_BATCHES)))
        facts = {
            "parameters": f"{sum(p.numel() for p in vae.parameters()) / 1e6:.2f} M",
            "sound": f"{rate} Hz, 1 channel, {vae.config.mel.n_mels} mel bands",
            "latents": f"{describe_latents(vae.config)}, scaled by {scale:.4f}",
            "steps": recipe.training.steps,
        }
        write_model(
            folder,
            kind="vae",
            name=recipe.name,
            parts={"vae": (recipe.vae.scaled(scale).plain(), weights)},
            settings={},
            recipe=recipe.plain(),
            licence=recipe.licence,
            card=write_card(recipe, facts, sounds.clips),
            storage=recipe.storage,
        )

    task = MelVaeTask(vae, recipe.task, seed=seed)
    return Job(task, sounds.batches, sounds.validation, save)


@torch.no_grad()
def measure_scale(vae: MelAutoencoder[Any], batches: Iterable[AudioBatch]) -> float:
    """The factor that brings latents to variance 1 (Rombach et al. 2022, appendix G).

    One over the standard deviation of unscaled latents over all their elements, with the variance
    of the posteriors. Latents without spread give 1.

    Args:
        vae: The autoencoder, trained.
        batches: Waveforms that it was trained on.
    """
    training = vae.training
    vae.eval()
    device = next(vae.parameters()).device
    count, total, squares = 0, 0.0, 0.0
    for batch in batches:
        waveform = pad_to_frames(batch.waveform, vae.config.hop_length)[:, 0].to(device)
        found = vae.infer(vae.mels(waveform))
        mean = found.mean.double()
        count += mean.numel()
        total += mean.sum().item()
        squares += (mean.square() + found.deviation.double().square()).sum().item()
    vae.train(training)
    variance = squares / count - (total / count) ** 2
    return variance**-0.5 if variance > 0 else 1.0
