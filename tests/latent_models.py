"""Small diffusion models with random weights, as training would leave them."""

import torch

from soundwright.codecs.mel_vae import MelVae, MelVaeConfig
from soundwright.codecs.spectrum_vocoder import SpectrumVocoderConfig
from soundwright.diffusion.conditioner import ConditionsConfig
from soundwright.diffusion.dit import DitConfig
from soundwright.diffusion.fit import FitConfig
from soundwright.diffusion.flow import FlowConfig
from soundwright.diffusion.noise import NoiseConfig
from soundwright.diffusion.unet import LatentUnet, UnetConfig
from soundwright.pipelines.latent_codecs import VocoderChoice, build_vocoder
from soundwright.pipelines.models import write_model
from soundwright.pipelines.parts import build_network
from soundwright.pipelines.settings import LatentGenerationConfig, TextConfig

VAE = MelVaeConfig(
    center=-5.0, spread=2.5, patch=2, widths=(8, 8, 16), layers=1, groups=4, latent_channels=4
)
VOCODER = VocoderChoice(spectrum=SpectrumVocoderConfig(width=16, blocks=1))


def write_latent_model(folder, process="noise", name="random-diffusion"):
    """Write it, and give the folder back."""
    shape = UnetConfig(
        process=NoiseConfig() if process == "noise" else FlowConfig(),
        channels=4,
        widths=(16, 16),
        attention=(False, True),
        heads=(1, 1),
        layers=1,
        groups=8,
        text_width=384,
        cross_width=32,
    )
    parts = {
        "vae": (VAE.plain(), MelVae(VAE, 1).state_dict()),
        "vocoder": (VOCODER.plain(), build_vocoder(VOCODER, 2).state_dict()),
        "unet": (shape.plain(), _with_an_end(LatentUnet(shape, seed=3)).state_dict()),
    }
    write_model(
        folder,
        kind="diffusion",
        name=name,
        parts=parts,
        settings={
            "text": TextConfig().plain(),
            "generation": LatentGenerationConfig(duration=1.0, steps=3).plain(),
        },
        recipe={},
        licence="Apache-2.0",
        card="Random weights.",
    )
    return folder


def write_genau_model(folder, network="fit", name="random-genau", **changes):
    """The same with another network, which reads vectors of the matcher and knows two data sets."""
    knows = {"text_width": 384, "vector_width": 128, "sources": 2, "channels": 4}
    tokens = {"bands": 8, "width": 16, "heads": 2, "blocks": 1, "max_frames": 32, "patch": 2}
    groups = {
        "group": 4, "latents_per_group": 2, "latent_width": 16, "latent_heads": 2, "local": 1,
        "across": 1,
    }  # fmt: skip
    levels = {
        "widths": (16, 16), "attention": (False, True), "heads": (1, 1), "layers": 1,
        "groups": 8, "cross_width": 32,
    }  # fmt: skip
    shape = {
        "fit": lambda: FitConfig.read({**knows, **tokens, **groups, **changes}),
        "dit": lambda: DitConfig.read({**knows, **tokens, **changes}),
        "unet": lambda: UnetConfig.read({**knows, **levels, **changes}),
    }[network]()
    conditions = ConditionsConfig(vector="matcher", sources=("scenes", "esc50"), source="scenes")
    write_model(
        folder,
        kind="diffusion",
        name=name,
        parts={
            "vae": (VAE.plain(), MelVae(VAE, 1).state_dict()),
            "vocoder": (VOCODER.plain(), build_vocoder(VOCODER, 2).state_dict()),
            network: (shape.plain(), _with_an_end(build_network(shape, 3), 0.2).state_dict()),
        },
        settings={
            "text": TextConfig().plain(),
            "conditions": conditions.plain(),
            "generation": LatentGenerationConfig(duration=1.0, steps=3).plain(),
        },
        recipe={},
        licence="Apache-2.0",
        card="Random weights.",
    )
    return folder


def _with_an_end(network, scale=0.05):
    """Text and time make themselves felt in what a random network predicts."""
    stream = torch.Generator().manual_seed(4)
    for parameter in network.parameters():
        if parameter.dim() > 1:
            parameter.data += scale * torch.randn(parameter.shape, generator=stream)
    return network
