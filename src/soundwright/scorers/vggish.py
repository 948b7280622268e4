"""VGGish, the encoder of the Fréchet audio distance, in the two conventions that are in use.

Google's tools divide a clip by its largest sample and hear a second every half second; the ports
around torchvggish leave the level alone and hear patches of 0.96 s side by side. Their distances
must not be mixed. None of them whitens or quantises, and all drop the last ReLU.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal

import torch
from torch import Tensor, nn

from soundwright.audio.mel import PRESETS, VGGISH_PATCH_FRAMES, LogMel
from soundwright.core.config import Config
from soundwright.core.devices import choose_device
from soundwright.core.protocols import Encoded
from soundwright.scorers.pretrained import Published, hash_weights, load_published
from soundwright.scorers.windows import WindowRule, encode_windows

MEL = PRESETS["vggish"]
WIDTH = 128
BATCH_SIZE = 16
CHANNELS = (64, "pool", 128, "pool", 256, 256, "pool", 512, 512, "pool")
PATCH_SAMPLES = MEL.win_length + (VGGISH_PATCH_FRAMES - 1) * MEL.hop_length
GAIN_FLOOR = 0.1 / 32768
"""Google's floor of 0.1 is applied to int16 samples, where only silence lies below it."""
CHECKPOINT = Published(
    "https://github.com/harritaylor/torchvggish/releases/download/v0.1/vggish-10086976.pth",
    "sha256:10086976245803799d9194e9a73d9b6c1549c71d1b80106f5cade5608a561f4b",
    "Apache-2.0",
)


class VggishConfig(Config):
    """One of the conventions around the same network."""

    gain: Literal["none", "signed-max"] = "none"
    """Leave samples alone, or divide them by max(`GAIN_FLOOR`, largest sample): not the largest
    magnitude, and of the whole sound."""
    windows: WindowRule = WindowRule(size=PATCH_SAMPLES, hop=VGGISH_PATCH_FRAMES * MEL.hop_length)
    """Of each window the first 96 frames are heard."""


CONVENTIONS: Mapping[str, VggishConfig] = MappingProxyType(
    {
        "torchvggish": VggishConfig(),
        "google": VggishConfig(gain="signed-max", windows=WindowRule(size=16000, hop=8000)),
    }
)


class VggishNetwork(nn.Module):
    """Log-mel patches to embeddings; named as in torchvggish."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        below = 1
        for channels in CHANNELS:
            if isinstance(channels, int):
                layers += [nn.Conv2d(below, channels, 3, padding=1), nn.ReLU()]
                below = channels
            else:
                layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        inner = 4096
        self.embeddings = nn.Sequential(
            nn.Linear(below * (VGGISH_PATCH_FRAMES // 16) * (MEL.n_mels // 16), inner),
            nn.ReLU(),
            nn.Linear(inner, inner),
            nn.ReLU(),
            nn.Linear(inner, WIDTH),
        )

    def forward(self, patches: Tensor) -> Tensor:
        """[B, M, 96] as `LogMel` gives them to [B, 128]."""
        image = patches.transpose(1, 2)[:, None]
        # TensorFlow keeps channels last, and the linear layer's columns are in that order.
        return self.embeddings(self.features(image).permute(0, 2, 3, 1).flatten(1))


class Vggish:
    """Implements `AudioEncoder`: 128 numbers a window of about a second.

    Args:
        network: Filled with weights, in evaluation mode.
        convention: A key of `CONVENTIONS`.
        weights: What the metric card says of the weights.
        batch_size: Windows a batch.
    """

    def __init__(
        self,
        network: VggishNetwork,
        convention: str,
        weights: str,
        *,
        batch_size: int = BATCH_SIZE,
    ) -> None:
        self._config = CONVENTIONS[convention]
        self._network, self._batch_size = network, batch_size
        self._device = next(network.parameters()).device
        self._mel = LogMel(MEL).to(self._device)
        self._identity = f"{self.name}/{hash_weights(network, self._config, MEL)}"
        windows = self._config.windows
        self._facts = {
            "convention": convention,
            "weights": weights,
            "gain": "divided by the largest sample, signed"
            if self._config.gain == "signed-max"
            else "none",
            "window": f"{windows.size / self.sample_rate:g} s, of which 0.975 s are heard",
            "hop": f"{windows.hop / self.sample_rate:g} s",
            "tail": "dropped",
            "post-processing": "none",
            "precision": "fp32",
        }

    @property
    def name(self) -> str:
        """Stable name with version."""
        return "vggish"

    @property
    def identity(self) -> str:
        """Name, and hash of weights and convention."""
        return self._identity

    @property
    def sample_rate(self) -> int:
        """16 kHz."""
        return MEL.sample_rate

    @property
    def facts(self) -> Mapping[str, str]:
        """Convention, weights, gain, window, hop."""
        return self._facts

    def encode(self, waveforms: Sequence[Tensor]) -> list[Encoded]:
        """Describe mono sounds [N] at 16 kHz, within [-1, 1].

        Raises:
            AudioError: A sound without samples, or with some that are not finite.
        """
        return encode_windows(
            [self._level(waveform) for waveform in waveforms],
            self._config.windows,
            self._forward,
            batch_size=self._batch_size,
            width=WIDTH,
        )

    def _level(self, waveform: Tensor) -> Tensor:
        if self._config.gain == "none" or len(waveform) == 0:
            return waveform
        return waveform / waveform.amax().clamp(min=GAIN_FLOOR)

    def _forward(self, windows: Tensor) -> tuple[Tensor, None]:
        mel = self._mel(windows.to(self._device))
        return self._network(mel[..., :VGGISH_PATCH_FRAMES]), None


def load_vggish(
    convention: str = "torchvggish",
    weights: str | None = None,
    device: torch.device | str = "cpu",
) -> Vggish:
    """VGGish with its published weights, or with others.

    Args:
        convention: A key of `CONVENTIONS`.
        weights: As in `load_published`.
        device: Where it works.

    Raises:
        MissingWeightsError: The weights are neither here nor reachable.
        CheckpointError: They are damaged, or not weights of VGGish.
        UserError: The device is not on this machine.
    """
    chosen = choose_device(str(device))
    network = VggishNetwork()
    told = load_published(network, CHECKPOINT, weights, _without_pca)
    return Vggish(network.to(chosen), convention, told)


def _without_pca(state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Without the post-processing, which torchvggish's module carries when it is saved whole."""
    return {name: tensor for name, tensor in state.items() if not name.startswith("pproc.")}
