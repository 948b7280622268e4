"""An encoder without weights: the mean and the spread of each band of a log-mel spectrogram.

It is there for tests, for CI and for a first look offline. It hears spectra and no sources: a
distance made with it is one of log-mel statistics, never FAD, and not to be compared with FAD.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import torch
from torch import Tensor

from soundwright.audio.mel import PRESETS, LogMel
from soundwright.core.devices import choose_device
from soundwright.core.files import hash_bytes
from soundwright.core.protocols import Encoded
from soundwright.scorers.windows import WindowRule, encode_windows

MEL = PRESETS["general"]
WINDOWS = WindowRule(size=MEL.sample_rate, hop=MEL.sample_rate // 2, tail="repeat")
BATCH_SIZE = 32
FACTS: Mapping[str, str] = MappingProxyType(
    {
        "weights": "none",
        "gain": "none",
        "window": "1 s",
        "hop": "0.5 s",
        "tail": "filled up with itself",
        "precision": "fp32",
    }
)


class LogMelStatistics:
    """Implements `AudioEncoder`: 128 numbers for each second, every half second.

    Args:
        device: Where it works.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self._device = choose_device(str(device))
        self._mel = LogMel(MEL).to(self._device)

    @property
    def name(self) -> str:
        """Says that it is not FAD's encoder."""
        return "logmel-statistics"

    @property
    def identity(self) -> str:
        """Name, and hash of front end and windows."""
        configurations = f"{MEL.model_dump_json()} {WINDOWS.model_dump_json()}"
        return f"{self.name}/{hash_bytes(configurations.encode())[:16]}"

    @property
    def sample_rate(self) -> int:
        """16 kHz."""
        return MEL.sample_rate

    @property
    def facts(self) -> Mapping[str, str]:
        """Gain, window, hop; no weights."""
        return FACTS

    def encode(self, waveforms: Sequence[Tensor]) -> list[Encoded]:
        """Describe mono sounds [N] at 16 kHz.

        Raises:
            AudioError: A sound without samples, or with some that are not finite.
        """
        return encode_windows(
            waveforms, WINDOWS, self._forward, batch_size=BATCH_SIZE, width=2 * MEL.n_mels
        )

    def _forward(self, windows: Tensor) -> tuple[Tensor, None]:
        mel = self._mel(windows.to(self._device))
        spread, mean = torch.std_mean(mel, dim=-1, correction=0)
        return torch.cat([mean, spread], -1), None
