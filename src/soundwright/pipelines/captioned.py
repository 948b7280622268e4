"""Stored frames with their captions: what systems that learn from text and sound train on."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch

from soundwright.core.files import cache_folder
from soundwright.core.records import Clip
from soundwright.data.frame_segments import FrameSegmentConfig, FrameSegments
from soundwright.data.manifest import Manifest
from soundwright.data.store import FrameStore
from soundwright.pipelines.corpora import DataConfig, draw_weights, split_corpus
from soundwright.pipelines.settings import TextConfig
from soundwright.text.cache import CachedTextEncoder
from soundwright.text.encoders import load_text_encoder
from soundwright.text.preparation import PreparationConfig, draw_text

Segments = TypeVar("Segments", bound=FrameSegments[Any])


class Captioned(NamedTuple):
    """Batches for training and, where a split is held out, for validation."""

    clips: Manifest
    """Those to train on."""
    batches: Any
    validation: Any
    """None where nothing is held out."""


def open_text_encoder(text: TextConfig, device: torch.device) -> CachedTextEncoder:
    """The frozen text encoder of a training, which remembers what it has read."""
    folder = cache_folder() / "text"
    return CachedTextEncoder(load_text_encoder(text.encoder, device), folder, device)


def cut_frames(
    kind: type[Segments],
    store: FrameStore[Any],
    corpus: Manifest,
    data: DataConfig,
    segments: FrameSegmentConfig,
    preparation: PreparationConfig,
    seed: int,
) -> Captioned:
    """Batches of stored frames with prepared texts.

    Args:
        kind: Of the batches: those of tokens or of latents.
        store: Where the frames are.
        corpus: The clips of the store that may be used.
        data: Which of them are for training and validation, and their weights.
        segments: How frames are cut; for validation each crop begins with its clip.
        preparation: Of texts.
        seed: Of all draws.

    Raises:
        UserError: As `split_corpus` and `draw_weights`.
    """
    train, validation = split_corpus(data, corpus)
    text = functools.partial(_draw_text, preparation)
    batches = kind(
        store,
        segments,
        seed=seed,
        clips=train.clips,
        weights=draw_weights(data, train.clips),
        text=text,
    )
    held_out = None
    if validation is not None:
        still = segments.model_copy(update={"shuffle": False, "crop": "start"})
        held_out = kind(store, still, seed=seed, clips=validation.clips, text=text)
    return Captioned(train, batches, held_out)


def _draw_text(preparation: PreparationConfig, clip: Clip, stream: np.random.Generator) -> str:
    return draw_text(clip, preparation, stream)
