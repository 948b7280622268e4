"""What diffusion models read besides texts, opened by the name that a configuration gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from soundwright.core.errors import MissingWeightsError
from soundwright.core.files import cache_folder
from soundwright.core.protocols import TextAudioEncoder, TextEncoder
from soundwright.data.manifest import Manifest
from soundwright.data.vectors import CachedTextVectors, ClipVectors, encode_clips
from soundwright.diffusion.conditioner import Conditioner, ConditionsConfig
from soundwright.pipelines.models import ModelRecord
from soundwright.scorers.clap import load_clap
from soundwright.scorers.matching import Matcher, matcher_folder

MATCHER = "matcher"


class VectorCache:
    """The vectors of a training: of its captions and of its clips, each computed once.

    Args:
        config: Whose vectors; None or without `vector`, there are none.
        device: Where the encoder works.
    """

    def __init__(self, config: ConditionsConfig | None, device: torch.device) -> None:
        name = None if config is None else config.vector
        self._encoder = None if name is None else open_vector_encoder(name, device)
        self.texts = None
        """Of captions; None where no vectors are read."""
        if self._encoder is not None:
            self.texts = CachedTextVectors(self._encoder, cache_folder() / "text-vectors")

    def hear(self, corpus: Manifest, folder: Path) -> ClipVectors | None:
        """Of clips; None where no vectors are read."""
        return None if self._encoder is None else encode_clips(corpus, self._encoder, folder)


def open_vector_encoder(name: str, device: torch.device) -> TextAudioEncoder:
    """The encoder of sounds and texts that a configuration names.

    Args:
        name: matcher, or a checkpoint of CLAP as `scorers.clap.load_clap` knows it.
        device: Where it works.

    Raises:
        MissingWeightsError: Its weights are neither here nor reachable.
    """
    if name != MATCHER:
        return load_clap(name, device=device)
    if not matcher_folder().is_dir():
        raise MissingWeightsError(
            "This copy of Soundwright lacks the bundled matcher.", change="Take a complete copy."
        )
    return Matcher.load(matcher_folder()).to(device)


def open_conditioner(
    record: ModelRecord, encoder: TextEncoder, device: torch.device, *, cached: bool = False
) -> Conditioner:
    """Who reads prompts for a finished model.

    Args:
        record: The model's.
        encoder: Its text encoder.
        device: Where vectors are computed.
        cached: Whether the vectors of texts are kept, for training.
    """
    values: Any = record.settings.get("conditions")
    if values is None:
        return Conditioner(encoder)
    config = ConditionsConfig.read(values, origin=f"the model {record.name}")
    if config.vector is None:
        return Conditioner(encoder, config)
    if cached:
        return Conditioner(encoder, config, VectorCache(config, device).texts)
    return Conditioner(encoder, config, open_vector_encoder(config.vector, device))
