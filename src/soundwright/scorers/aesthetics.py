"""Audiobox Aesthetics (arXiv 2502.05139), where its package is installed: four marks for a sound.

The marks are content enjoyment (CE), content usefulness (CU), production complexity (PC) and
production quality (PQ), each about 1 to 10, without a reference or a text.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from soundwright.core.devices import choose_device
from soundwright.core.errors import CheckpointError, MissingWeightsError
from soundwright.core.hub import PRETRAINED_FILES, fetch_folder, first_line, missing
from soundwright.core.protocols import Encoded
from soundwright.scorers.modes import full_precision
from soundwright.scorers.pretrained import hash_weights
from soundwright.scorers.windows import check_sound

PACKAGE = "audiobox-aesthetics"
REPOSITORY = "facebook/audiobox-aesthetics"
AXES = ("CE", "CU", "PC", "PQ")
SAMPLE_RATE = 16_000
"""At which the network hears."""


class Aesthetics:
    """Implements `core.protocols.Scorer`, and `AudioEncoder`, around the package's predictor.

    What it says of a sound as an encoder is one row of four numbers, in the order of `AXES`.

    Args:
        predictor: An `AesPredictor`.
        name: As in the protocol.
    """

    def __init__(self, predictor: Any, name: str) -> None:
        self._predictor, self._name = predictor, name

    @property
    def name(self) -> str:
        """Package and version."""
        return self._name

    @property
    def identity(self) -> str:
        """Name, and hash of the weights."""
        return self._identity

    @cached_property
    def _identity(self) -> str:
        return f"{self.name}/{hash_weights(self._predictor.model)}"

    @property
    def sample_rate(self) -> int:
        """16 kHz."""
        return SAMPLE_RATE

    @property
    def facts(self) -> Mapping[str, str]:
        """Gain, window, what an embedding is."""
        return {
            "gain": "none",
            "window": "the package's own, weighted by length",
            "embedding": ", ".join(AXES),
            "precision": "fp32",
        }

    def encode(self, waveforms: Sequence[Tensor]) -> list[Encoded]:
        """The four marks of mono sounds [N] at 16 kHz, as one row each.

        Raises:
            AudioError: A sound without samples, or with some that are not finite.
        """
        marks = self.score(waveforms, SAMPLE_RATE)
        rows = [torch.tensor([row[axis] for axis in AXES]) for row in marks]
        return [Encoded(row[None], row) for row in rows]

    def score(
        self,
        waveforms: Sequence[Tensor],
        sample_rate: int,
        texts: Sequence[str] | None = None,  # noqa: ARG002 (of the protocol)
    ) -> list[dict[str, float]]:
        """CE, CU, PC and PQ of each sound, heard alone: the package's own resampling and windows.

        Raises:
            AudioError: A waveform without samples, or with some that are not finite.
        """
        for waveform in waveforms:
            check_sound(waveform.flatten())
        with full_precision():
            rows = [
                self._predictor.forward(
                    [{"path": torch.atleast_2d(waveform.float()), "sample_rate": sample_rate}]
                )[0]
                for waveform in waveforms
            ]
        return [{axis: float(row[axis]) for axis in AXES} for row in rows]


def load_aesthetics(weights: str = REPOSITORY, device: torch.device | str = "cpu") -> Aesthetics:
    """The scorer with the published weights, or with those of a local folder.

    Raises:
        MissingWeightsError: The package or the weights are not here.
        CheckpointError: The weights are damaged or foreign.
        UserError: The device is not on this machine.
    """
    chosen = choose_device(str(device))
    try:
        from audiobox_aesthetics.infer import (  # pyright: ignore[reportMissingImports]
            AesPredictor,
        )
        from audiobox_aesthetics.model.aes import (  # pyright: ignore[reportMissingImports]
            AesMultiOutput,
            Normalize,
        )
    # torchaudio, which the package needs, fails with OSError beside another version of torch.
    except (ImportError, OSError) as error:
        raise MissingWeightsError(
            f"Audiobox Aesthetics cannot be used: {first_line(error)}.",
            expected=f"the package {PACKAGE}, and a torchaudio that belongs to this torch",
            change=f"pip install {PACKAGE}",
        ) from error
    folder = Path(weights).expanduser()
    if not folder.is_dir():
        folder = fetch_folder(weights, PRETRAINED_FILES, what="aesthetics model")

    class Predictor(AesPredictor):
        def setup_model(self) -> None:
            # The package's own takes any GPU and asks the network even where weights are here.
            self.device = chosen
            self.model = AesMultiOutput.from_pretrained(str(folder), local_files_only=True)
            self.model.to(chosen).eval()
            self.target_transform = {
                axis: Normalize(**self.model.target_transform[axis]) for axis in AXES
            }

    try:
        # The hub's mixin prints, and standard output belongs to results.
        with redirect_stdout(sys.stderr):
            predictor = Predictor(checkpoint_pth=None)
    except OSError as error:
        raise missing("aesthetics model", weights, f"is not whole: {first_line(error)}") from error
    except (RuntimeError, TypeError, KeyError, ValueError) as error:
        raise CheckpointError(
            f"The aesthetics model in {folder} cannot be read: {first_line(error)}."
        ) from error
    return Aesthetics(predictor, f"{PACKAGE}-{version(PACKAGE)}")
