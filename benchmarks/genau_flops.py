"""Operations of FIT, DiT and U-Net of equal size, by torch's own counter.

    python benchmarks/genau_flops.py [--seconds 5 10.24] [--out FILE]

On the networks of genau-s and genau-small and what stands beside them, without weights: floating
point operations of one prediction for one sound (a multiplication and an addition are two), as
`torch.utils.flop_counter` counts matrix products, convolutions and attention. Beside each FIT
stands what it is with half the latents, and with groups four times as large of as many latents.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from soundwright.core.protocols import TextStates
from soundwright.diffusion.conditions import Conditions
from soundwright.diffusion.fit import FitConfig
from soundwright.diffusion.network import NetworkConfig
from soundwright.pipelines.diffusion_recipe import DiffusionRecipe
from soundwright.pipelines.parts import build_network
from soundwright.pipelines.systems import read_recipe

RATE = 25
"""Latent frames a second."""
TEXT_LENGTH = 16
RECIPES = (
    "genau-s",
    "genau-s-dit",
    "genau-s-unet",
    "genau-l",
    "genau-small",
    "genau-small-dit",
    "genau-small-unet",
)


def main() -> None:
    """Count, print, and write the results where they are wanted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, nargs="+", default=[5.0, 10.24])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows = [
        row
        for name in RECIPES
        for seconds in options.seconds
        for row in measure(name, math.ceil(seconds * RATE))
    ]
    for row in rows:
        print(
            f"{row['network']:28} {row['frames']:4} frames  {row['parameters'] / 1e6:8.2f} M  "
            f"{row['flops'] / 1e9:9.3f} GFLOP"
        )
    if options.out:
        options.out.write_text(json.dumps({"rows": rows}, indent=2) + "\n")


def measure(name: str, frames: int) -> list[dict[str, Any]]:
    """A row for the network of a recipe; of FIT two others."""
    recipe = read_recipe(name)
    assert isinstance(recipe, DiffusionRecipe)
    _, shape = recipe.network
    rows = [{"network": name, "frames": frames, **count(shape, frames)}]
    if isinstance(shape, FitConfig):
        for label, changes in (
            ("half the latents", {"latents_per_group": shape.latents_per_group // 2}),
            ("groups of four", {"group": 4 * shape.group}),
        ):
            other = shape.model_copy(update=changes)
            named = f"{name}, {label}"
            rows.append({"network": named, "frames": frames, **count(other, frames)})
    return rows


def count(shape: NetworkConfig, frames: int) -> dict[str, int]:
    """Parameters and operations of one prediction."""
    with torch.device("meta"):
        network = build_network(shape).eval()
        text = TextStates(
            torch.empty(1, TEXT_LENGTH, shape.text_width),
            torch.empty(1, TEXT_LENGTH, dtype=torch.bool),
            torch.empty(1, shape.text_width),
        )
        vector = torch.empty(1, shape.vector_width or 1)
        conditions = Conditions(text, vector if shape.vector_width else None)
        latents, times = torch.empty(1, shape.channels, frames), torch.zeros(1)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(latents, times, conditions)
    parameters = sum(value.numel() for value in network.parameters())
    return {"parameters": parameters, "flops": counter.get_total_flops()}


if __name__ == "__main__":
    main()
