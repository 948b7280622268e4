"""PaSST, a transformer that tags sounds with AudioSet's 527 classes (arXiv 2110.05069).

Patches of 16 bands by 16 frames, ten apart on both axes, get one position embedding for their
frequency and one for their time. A class and a distillation token stand before them; the mean of
what becomes of the two is the embedding, and a linear layer over it gives the logits. Patchout, the
paper's idea, drops patches in training only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention

from soundwright.audio.loudness import integrated_loudness, normalise_peak
from soundwright.audio.mel import PRESETS, LogMel
from soundwright.audio.mixing import gain_of
from soundwright.core.config import Config
from soundwright.core.devices import choose_device
from soundwright.core.protocols import Encoded
from soundwright.scorers.pretrained import Published, hash_weights, load_published
from soundwright.scorers.windows import WindowRule, check_sound, encode_windows

MEL = PRESETS["passt"]
PATCH, STRIDE = 16, 10
HEAD_WIDTH = 64
BATCH_SIZE = 4
SECONDS = 10
LEAST = (PATCH - 1) * MEL.hop_length + 1
"""Samples that give one column of patches, 0.15 s; with less there is nothing to see."""
CHECKPOINT = Published(
    "https://github.com/kkoutini/PaSST/releases/download/v0.0.1-audioset/"
    "passt-s-f128-p16-s10-ap.476-swa.pt",
    "sha256:302903fa8c4aee817b11dc982da0b29aaf8d11a3e722420476d0a12c9db70c2c",
    "Apache-2.0",
)
PEAK_DB = -1.0
LOUDNESS = -14.0
"""LUFS."""
FAINT = 2e-3
"""Sounds of a smaller RMS are not brought to a loudness."""
_SIZE = SECONDS * MEL.sample_rate
_HALF = _SIZE // 2
_SIDE_BY_SIDE = WindowRule(size=_SIZE, hop=_SIZE, tail="keep", least=LEAST)

Gain = Literal["none", "peak", "loudness"]
GAINS: Mapping[Gain, str] = MappingProxyType(
    {
        "none": "none",
        "peak": f"peak of the mono sound at {PEAK_DB:g} dB",
        "loudness": f"mono sound at {LOUDNESS:g} LUFS, clipped at full scale",
    }
)


class PasstConvention(Config):
    """How a tool prepares sounds for the network."""

    gain: Gain = "none"
    """Leave samples alone, or bring the whole sound to `PEAK_DB` or to `LOUDNESS`."""
    windows: WindowRule


CONVENTIONS: Mapping[str, PasstConvention] = MappingProxyType(
    {
        # Every window of a long sound but the last is whole, and that one is at least half.
        "overlapping": PasstConvention(
            windows=WindowRule(size=_SIZE, hop=_HALF, tail="keep", least=LEAST)
        ),
        "audiocraft": PasstConvention(windows=_SIDE_BY_SIDE),
        "audiocraft-generated": PasstConvention(gain="loudness", windows=_SIDE_BY_SIDE),
        "stable-audio-metrics": PasstConvention(
            gain="peak", windows=WindowRule(size=_SIZE, hop=_HALF, tail="pad")
        ),
    }
)
"""AudioCraft hears ten seconds after ten, recordings as they are and what was generated at one
loudness. stable-audio-metrics fills short windows up with zeros (it leaves sounds of less than
1.5 s alone; here they are filled up too)."""

Count = Annotated[int, Field(gt=0)]


class PasstConfig(Config):
    """The sizes of a network; the defaults are those of passt_s_swa_p16_128_ap476."""

    width: Annotated[int, Field(gt=0, multiple_of=HEAD_WIDTH)] = 768
    depth: Count = 12
    labels: Count = 527
    rows: Count = 12
    """Patches over frequency."""
    columns: Count = 99
    """Patches over time that have a position of their own: 99 for the models of 10 s."""


class PasstNetwork(nn.Module):
    """From log-mel spectrograms to embeddings and logits; parameters named as published."""

    def __init__(self, config: PasstConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.dist_token = nn.Parameter(torch.zeros(1, 1, width))
        self.new_pos_embed = nn.Parameter(torch.zeros(1, 2, width))
        self.freq_new_pos_embed = nn.Parameter(torch.zeros(1, width, config.rows, 1))
        self.time_new_pos_embed = nn.Parameter(torch.zeros(1, width, 1, config.columns))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(1, width, PATCH, STRIDE)})
        self.blocks = nn.Sequential(*(_Block(width) for _ in range(config.depth)))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, config.labels))

    def forward(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """[B, 128, F] to embeddings [B, D] and logits [B, L].

        Raises:
            ValueError: Fewer frames than a patch has, or more than there are positions for.
        """
        frames = mel.shape[-1]
        columns = (frames - PATCH) // STRIDE + 1
        if not 1 <= columns <= self.config.columns:
            raise ValueError(
                f"{frames} frames make {columns} of 1 to {self.config.columns} columns"
            )
        patches = self.patch_embed["proj"](mel[:, None])
        patches = patches + self.time_new_pos_embed[..., :columns] + self.freq_new_pos_embed
        tokens = torch.cat([self.cls_token, self.dist_token], 1) + self.new_pos_embed
        states = torch.cat([tokens.expand(len(mel), -1, -1), patches.flatten(2).transpose(1, 2)], 1)
        embedding = self.norm(self.blocks(states)[:, :2]).mean(1)
        return embedding, self.head(embedding)


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = nn.ModuleDict(
            {"qkv": nn.Linear(width, 3 * width), "proj": nn.Linear(width, width)}
        )
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.ModuleDict(
            {"fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)}
        )

    def forward(self, states: Tensor) -> Tensor:
        states = states + self._attend(self.norm1(states))
        return states + self.mlp["fc2"](gelu(self.mlp["fc1"](self.norm2(states))))

    def _attend(self, states: Tensor) -> Tensor:
        query, key, value = (
            self.attn["qkv"](states).unflatten(-1, (3, -1, HEAD_WIDTH)).permute(2, 0, 3, 1, 4)
        )
        heard = scaled_dot_product_attention(query, key, value)
        return self.attn["proj"](heard.transpose(1, 2).flatten(2))


class Passt:
    """Implements `AudioEncoder`: 768 numbers and 527 logits a window of at most ten seconds.

    Args:
        network: Filled with weights, in evaluation mode.
        convention: A key of `CONVENTIONS`.
        weights: What the metric card says of the weights.
        batch_size: Windows a batch; only windows of one length share one.
    """

    def __init__(
        self,
        network: PasstNetwork,
        convention: str,
        weights: str,
        *,
        batch_size: int = BATCH_SIZE,
    ) -> None:
        self._convention = CONVENTIONS[convention]
        rule = self._convention.windows
        self._network, self._batch_size = network, batch_size
        self._device = next(network.parameters()).device
        self._mel = LogMel(MEL).to(self._device)
        identity = hash_weights(network, network.config, self._convention, MEL)
        self._identity = f"{self.name}/{identity}"
        tails = {"keep": "as long as it is, from 0.15 s", "pad": "filled up with zeros"}
        self._facts = {
            "convention": convention,
            "weights": weights,
            "gain": GAINS[self._convention.gain],
            "window": f"{SECONDS} s",
            "hop": f"{rule.hop / MEL.sample_rate:g} s",
            "tail": tails[rule.tail],
            "embedding": "mean of class and distillation token",
            "logits": f"{network.config.labels} classes of AudioSet",
            "precision": "fp32",
        }

    @property
    def name(self) -> str:
        """Stable name with version."""
        return "passt"

    @property
    def identity(self) -> str:
        """Name, and hash of weights and convention."""
        return self._identity

    @property
    def sample_rate(self) -> int:
        """32 kHz."""
        return MEL.sample_rate

    @property
    def facts(self) -> Mapping[str, str]:
        """Convention, weights, gain, window, hop, tail."""
        return self._facts

    def encode(self, waveforms: Sequence[Tensor]) -> list[Encoded]:
        """Describe mono sounds [N] at 32 kHz, within [-1, 1]; under 0.15 s there are no rows.

        Raises:
            AudioError: A sound without samples, or with some that are not finite.
        """
        return encode_windows(
            [set_level(check_sound(waveform), self._convention.gain) for waveform in waveforms],
            self._convention.windows,
            self._forward,
            batch_size=self._batch_size,
            width=self._network.config.width,
        )

    def _forward(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        return self._network(self._mel(windows.to(self._device)))


def set_level(waveform: Tensor, gain: Gain) -> Tensor:
    """A mono sound [N] at 32 kHz by one of `GAINS`; silence stays as it is.

    AudioCraft measures loudness with torchaudio's filters before it mixes channels and resamples,
    which comes to the same for mono sounds, but for some hundredths of a decibel.
    """
    if gain == "peak":
        return normalise_peak(waveform, PEAK_DB)
    if gain == "loudness":
        loudness = integrated_loudness(waveform[None], MEL.sample_rate)
        if waveform.square().mean().sqrt() >= FAINT and math.isfinite(loudness):
            waveform = waveform * gain_of(LOUDNESS - loudness)
        return waveform.clamp(-1, 1)
    return waveform


def load_passt(
    convention: str = "overlapping",
    weights: str | None = None,
    device: torch.device | str = "cpu",
) -> Passt:
    """PaSST with its published weights, or with others of the same shapes.

    Args:
        convention: A key of `CONVENTIONS`.
        weights: As in `load_published`.
        device: Where it works.

    Raises:
        MissingWeightsError: The weights are neither here nor reachable.
        CheckpointError: They are damaged, or not weights of this network.
        UserError: The device is not on this machine.
    """
    chosen = choose_device(str(device))
    with torch.device("meta"):
        network = PasstNetwork(PasstConfig())
    network.to_empty(device="cpu")
    told = load_published(network, CHECKPOINT, weights, rename_passt)
    return Passt(network.to(chosen), convention, told)


def rename_passt(state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Published names as ours: without the head of the distillation token, which is never heard."""
    names = {name.removeprefix("net."): tensor for name, tensor in state.items()}
    return {name: tensor for name, tensor in names.items() if not name.startswith("head_dist.")}
