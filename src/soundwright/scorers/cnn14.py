"""CNN14 and Wavegram-Logmel-CNN14, the taggers of PANNs: a vector and 527 logits for a sound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn import functional

from soundwright.audio.mel import LogMel, MelConfig
from soundwright.core.config import Config
from soundwright.core.devices import choose_device
from soundwright.core.protocols import Encoded
from soundwright.scorers.pretrained import Published, hash_weights, load_published
from soundwright.scorers.windows import WindowRule, encode_windows

WIDTH = 2048
LABELS = 527
CHANNELS = (64, 128, 256, 512, 1024, WIDTH)
LEAST_FRAMES = 32
"""Time is halved five times, and something has to be left."""
LONGEST = 1 << 40
"""Samples; longer than any sound."""
RECORD = "https://zenodo.org/records/3987831/files"
LICENCE = "CC-BY-4.0"


class Cnn14Config(Config):
    """One of PANNs' networks: its front end and its branches."""

    mel: MelConfig
    wavegram: bool = False
    """Beside the log-mel spectrogram, one that is learnt from the waveform."""


_MEL = MelConfig(
    sample_rate=32000,
    n_fft=1024,
    win_length=1024,
    hop_length=320,
    f_min=50.0,
    f_max=14000.0,
    power=2,
    log="decibel",
    floor=1e-10,
)
_MEL_16K = _MEL.model_copy(
    update={
        "sample_rate": 16000, "n_fft": 512, "win_length": 512, "hop_length": 160, "f_max": 8000.0
    }
)  # fmt: skip
VARIANTS: Mapping[str, tuple[Cnn14Config, Published]] = MappingProxyType(
    {
        "cnn14-16k": (
            Cnn14Config(mel=_MEL_16K),
            Published(
                f"{RECORD}/Cnn14_16k_mAP%3D0.438.pth",
                "sha256:e2ee543a27919542c2ea03eabaa70b24dcd4e6c8e05621de6b67a94e4c5058e6",
                LICENCE,
            ),
        ),
        "cnn14-32k": (
            Cnn14Config(mel=_MEL),
            Published(
                f"{RECORD}/Cnn14_mAP%3D0.431.pth",
                "sha256:0dc499e40e9761ef5ea061ffc77697697f277f6a960894903df3ada000e34b31",
                LICENCE,
            ),
        ),
        "wavegram-logmel-cnn14": (
            Cnn14Config(mel=_MEL, wavegram=True),
            Published(
                f"{RECORD}/Wavegram_Logmel_Cnn14_mAP%3D0.439.pth",
                "md5:17fa9ab65af3c0eb5ffbc5f65552c4e1",
                LICENCE,
            ),
        ),
    }
)


class Cnn14Network(nn.Module):
    """Waveforms to vectors and logits; named as in PANNs, without the front end's constants."""

    def __init__(self, config: Cnn14Config) -> None:
        super().__init__()
        self.mel = LogMel(config.mel)
        self.bn0 = nn.BatchNorm2d(config.mel.n_mels)
        self.wavegram = Wavegram() if config.wavegram else None
        below = 1
        for number, channels in enumerate(CHANNELS, start=1):
            self.add_module(f"conv_block{number}", _Block(below, channels))
            # The wavegram joins after the first block.
            below = 2 * channels if config.wavegram and number == 1 else channels
        self.fc1 = nn.Linear(WIDTH, WIDTH)
        self.fc_audioset = nn.Linear(WIDTH, LABELS)

    def forward(self, waveforms: Tensor) -> tuple[Tensor, Tensor]:
        """[B, N] at the network's rate to vectors [B, 2048] and logits [B, 527].

        N is at least `LEAST_FRAMES` hops.
        """
        image = self.bn0(self.mel(waveforms)[..., None]).permute(0, 3, 2, 1)
        for number in range(1, len(CHANNELS) + 1):
            image = self.get_submodule(f"conv_block{number}")(image)
            if number < len(CHANNELS):
                image = functional.avg_pool2d(image, 2)
            if number == 1 and self.wavegram is not None:
                learnt = self.wavegram(waveforms)
                # At lengths of an odd number of hops the spectrogram is one frame longer.
                image = torch.cat([image[:, :, : learnt.shape[2]], learnt], 1)
        frames = image.mean(3)
        vector = functional.relu(self.fc1(frames.amax(2) + frames.mean(2)))
        return vector, self.fc_audioset(vector)


class Wavegram(nn.Module):
    """A spectrogram learnt from the waveform: [B, N] to [B, 64, F, 32], F a frame of two hops."""

    def __init__(self) -> None:
        super().__init__()
        self.pre_conv0 = nn.Conv1d(1, 64, 11, stride=5, padding=5, bias=False)
        self.pre_bn0 = nn.BatchNorm1d(64)
        self.pre_block1 = _WaveBlock(64, 64)
        self.pre_block2 = _WaveBlock(64, 128)
        self.pre_block3 = _WaveBlock(128, 128)
        self.pre_block4 = _Block(4, 64)

    def forward(self, waveforms: Tensor) -> Tensor:
        """Channels become 32 bands of 4 channels."""
        hidden = functional.relu(self.pre_bn0(self.pre_conv0(waveforms[:, None])))
        for block in (self.pre_block1, self.pre_block2, self.pre_block3):
            hidden = functional.max_pool1d(block(hidden), 4)
        image = hidden.unflatten(1, (-1, 32)).transpose(2, 3)
        return functional.avg_pool2d(self.pre_block4(image), (2, 1))


class _Block(nn.Module):
    """Two convolutions over time and frequency."""

    def __init__(self, below: int, above: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(below, above, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(above, above, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(above)
        self.bn2 = nn.BatchNorm2d(above)

    def forward(self, image: Tensor) -> Tensor:
        return _pass(self, image)


class _WaveBlock(nn.Module):
    """Two convolutions over time, the second with gaps."""

    def __init__(self, below: int, above: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(below, above, 3, padding=1, bias=False)
        self.conv2 = nn.Conv1d(above, above, 3, padding=2, dilation=2, bias=False)
        self.bn1 = nn.BatchNorm1d(above)
        self.bn2 = nn.BatchNorm1d(above)

    def forward(self, hidden: Tensor) -> Tensor:
        return _pass(self, hidden)


class Cnn14:
    """Implements `AudioEncoder`: one vector and one row of logits a sound, whatever its length.

    Args:
        network: Filled with weights, in evaluation mode.
        variant: A key of `VARIANTS`.
        weights: What the metric card says of the weights.
        batch_size: Sounds a batch; only sounds of one length share one.
    """

    def __init__(
        self, network: Cnn14Network, variant: str, weights: str, *, batch_size: int = 1
    ) -> None:
        self._config = VARIANTS[variant][0]
        self._variant, self._network, self._batch_size = variant, network, batch_size
        self._device = next(network.parameters()).device
        mel = self._config.mel
        least = LEAST_FRAMES * mel.hop_length
        self._rule = WindowRule(size=LONGEST, hop=LONGEST, tail="keep", least=least)
        self._identity = f"{variant}/{hash_weights(network, self._config)}"
        self._facts = {
            "weights": weights,
            "gain": "none",
            "window": f"whole sound, at least {least / mel.sample_rate:g} s",
            "logits": f"{LABELS} classes of AudioSet, before the sigmoid",
            "precision": "fp32",
        }

    @property
    def name(self) -> str:
        """The variant."""
        return self._variant

    @property
    def identity(self) -> str:
        """Name, and hash of weights and front end."""
        return self._identity

    @property
    def sample_rate(self) -> int:
        """16 or 32 kHz."""
        return self._config.mel.sample_rate

    @property
    def facts(self) -> Mapping[str, str]:
        """Weights, gain, window."""
        return self._facts

    def encode(self, waveforms: Sequence[Tensor]) -> list[Encoded]:
        """Describe mono sounds [N] at `sample_rate`, within [-1, 1].

        Raises:
            AudioError: A sound without samples, or with some that are not finite.
        """
        return encode_windows(
            waveforms, self._rule, self._forward, batch_size=self._batch_size, width=WIDTH
        )

    def _forward(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        return self._network(windows.to(self._device))


def load_cnn14(
    variant: str = "wavegram-logmel-cnn14",
    weights: str | None = None,
    device: torch.device | str = "cpu",
) -> Cnn14:
    """One of PANNs' networks with its published weights, or with others.

    Args:
        variant: A key of `VARIANTS`.
        weights: As in `load_published`.
        device: Where it works.

    Raises:
        MissingWeightsError: The weights are neither here nor reachable.
        CheckpointError: They are damaged, or not weights of this network.
        UserError: The device is not on this machine.
    """
    chosen = choose_device(str(device))
    config, published = VARIANTS[variant]
    network = Cnn14Network(config)
    told = load_published(network, published, weights, rename_panns)
    return Cnn14(network.to(chosen), variant, told)


def rename_panns(state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """PANNs' names as ours: without the front end's constants, the wavegram in its own module."""
    constants = ("spectrogram_extractor.", "logmel_extractor.")
    return {
        f"wavegram.{name}" if name.startswith("pre_") else name: tensor
        for name, tensor in state.items()
        if not name.startswith(constants)
    }


def _pass(block: _Block | _WaveBlock, hidden: Tensor) -> Tensor:
    hidden = functional.relu(block.bn1(block.conv1(hidden)))
    return functional.relu(block.bn2(block.conv2(hidden)))
