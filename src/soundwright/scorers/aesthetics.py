"""Audiobox Aesthetics (arXiv 2502.05139), where its package is installed: four marks for a sound.

The marks are content enjoyment (CE), content usefulness (CU), production complexity (PC) and
production quality (PQ), each about 1 to 10, without a reference or a text.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from soundwright.core.devices import choose_device
from soundwright.core.errors import CheckpointError, MissingWeightsError
from soundwright.core.hub import PRETRAINED_FILES, fetch_folder, first_line, missing
from soundwright.scorers.modes import full_precision
from soundwright.scorers.windows import check_sound

PACKAGE = "audiobox-aesthetics"
REPOSITORY = "facebook/audiobox-aesthetics"
AXES = ("CE", "CU", "PC", "PQ")


class Aesthetics:
    """Implements `core.protocols.Scorer` around the package's predictor.

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
