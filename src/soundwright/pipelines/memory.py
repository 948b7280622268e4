"""How much memory the training of a language model takes, told before it begins."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch

from soundwright.core.devices import measure_memory, uses_bf16
from soundwright.core.ranks import Ranks
from soundwright.lm.memory import FP32, StepShape, estimate_activations
from soundwright.lm.model import AudioLm
from soundwright.nn.lora import add_lora
from soundwright.pipelines.lm_recipe import LmRecipe, choose_codec
from soundwright.pipelines.parts import build_codec
from soundwright.training.parallel import must_shard

GIB = 1 << 30
TEXT_TOKENS = 64
"""Of a long caption."""
ENCODERS = {384: 23e6, 512: 35e6, 768: 110e6, 1024: 335e6}
"""Parameters of MiniLM and of the encoders of T5 small, base and large, by their width."""
CUDA_BYTES = 600 << 20
"""What CUDA takes for itself and what its allocator cannot use."""


@dataclass(frozen=True)
class MemoryEstimate:
    """What one rank's device has to hold.

    The sum is an upper bound: gradients fill up while activations are given back.
    """

    parts: Mapping[str, int]
    """Bytes by what they are for."""
    device: torch.device
    available: int | None
    """Bytes that the device has; None where that is not known."""
    remedy: str = ""
    """What to set where the device is too small."""

    @property
    def total(self) -> int:
        """Bytes of all parts."""
        return sum(self.parts.values())

    @property
    def fits(self) -> bool:
        """Whether the device is known to be large enough, or not known to be too small."""
        return self.available is None or self.total <= self.available

    def describe(self) -> str:
        """A sentence for people, and a second one where the device is too small."""
        largest = sorted(self.parts.items(), key=lambda part: -part[1])[:3]
        parts = ", ".join(f"{name} {amount / GIB:.1f}" for name, amount in largest)
        of = "" if self.available is None else f" of {self.available / GIB:.1f} GB"
        text = f"Memory on {self.device}: about {self.total / GIB:.1f} GB{of} ({parts})."
        return text if self.fits else f"{text}\nThat is too much. {self.remedy}"


def estimate_memory(recipe: LmRecipe, device: torch.device, ranks: Ranks) -> MemoryEstimate | None:
    """What the training of a recipe takes; None where the length of its clips is not known.

    Raises:
        UserError: The recipe's codec is not there, or its adapter does not fit.
    """
    if recipe.segments.duration is None:
        return None
    frames = _count_frames(recipe)
    weights = _count_weights(recipe, device, ranks)
    activations = _count_activations(recipe, frames, device, ranks)
    parts = {**weights, "activations": activations}
    estimate = MemoryEstimate(parts, device, measure_memory(device))
    if estimate.fits:
        return estimate
    assert estimate.available is not None
    room = estimate.available - sum(weights.values())
    for overrides, changed in _lowered(recipe):
        if _count_activations(changed, frames, device, ranks) <= room:
            wanted = " ".join(f"--set {override}" for override in overrides)
            return replace(estimate, remedy=f"Give {wanted}.")
    if recipe.adapter is None:
        remedy = "Train an adapter (soundwright recipes show finetune-lora), or a smaller model."
        return replace(estimate, remedy=remedy)
    return replace(estimate, remedy="Shorten segments.duration, or take a smaller model.")


def _count_weights(recipe: LmRecipe, device: torch.device, ranks: Ranks) -> dict[str, int]:
    """What stays in memory from step to step."""
    with torch.device("meta"):
        lm = AudioLm(recipe.lm)
    if recipe.adapter is not None:
        add_lora(lm, recipe.adapter, seed=0)
    weights = sum(value.numel() for value in lm.parameters())
    trained = sum(value.numel() for value in lm.parameters() if value.requires_grad)
    parts = {
        "weights": FP32 * weights,
        "gradients": FP32 * trained,
        "optimizer": 2 * FP32 * trained,
        "average": FP32 * trained if recipe.training.average is not None else 0,
    }
    if ranks.are_many and must_shard({"lm": lm}, recipe.training.parallel, device):
        parts = {name: amount // ranks.count for name, amount in parts.items()}
    elif ranks.are_many:
        parts["exchange"] = FP32 * trained
    encoder = min(ENCODERS, key=lambda width: abs(width - recipe.lm.text_width))
    parts["text encoder"] = int(FP32 * ENCODERS[encoder])
    if device.type == "cuda":
        parts["CUDA"] = CUDA_BYTES
    return parts


def _count_activations(recipe: LmRecipe, frames: int, device: torch.device, ranks: Ranks) -> int:
    shape = StepShape(
        batch=math.ceil(recipe.segments.batch / ranks.count),
        steps=frames,
        text=TEXT_TOKENS,
        bf16=uses_bf16(device, recipe.training.precision),
        device=device.type,
    )
    return estimate_activations(recipe.lm, shape, recipe.adapter)


def _count_frames(recipe: LmRecipe) -> int:
    assert recipe.segments.duration is not None
    with torch.device("meta"):
        codec = build_codec(choose_codec(recipe))
    return math.ceil(recipe.segments.duration * codec.sample_rate / codec.hop_length)


def _lowered(recipe: LmRecipe) -> Iterator[tuple[list[str], LmRecipe]]:
    """Recipes that need less and less, each with the overrides that lead to it."""
    overrides: list[str] = []
    if not recipe.lm.checkpointing:
        lm = recipe.lm.model_copy(update={"checkpointing": True})
        recipe = recipe.model_copy(update={"lm": lm})
        overrides = ["lm.checkpointing=true"]
        yield overrides, recipe
    batch, accumulate = recipe.segments.batch, recipe.training.accumulate
    while batch % 2 == 0:
        batch, accumulate = batch // 2, 2 * accumulate
        segments = recipe.segments.model_copy(update={"batch": batch})
        smaller = [f"segments.batch={batch}", f"training.accumulate={accumulate}"]
        yield [*overrides, *smaller], recipe.model_copy(update={"segments": segments})
