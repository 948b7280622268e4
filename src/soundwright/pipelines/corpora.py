"""The data section of a recipe, and the corpus that it describes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from soundwright.core.config import Config
from soundwright.core.errors import ConfigError, nearest
from soundwright.core.files import hash_bytes
from soundwright.core.records import Clip
from soundwright.data.manifest import Manifest, join_manifests, read_manifest
from soundwright.data.segments import AudioSegments, SegmentConfig
from soundwright.data.selection import Selection, select_clips
from soundwright.pipelines.scenes import SceneSource, make_scenes


class DataConfig(Config):
    """Where clips come from: manifests, composed scenes, or both together."""

    manifests: tuple[Path, ...] = ()
    """Corpora as `soundwright data import` writes them."""
    scenes: SceneSource | None = None
    """Scenes that are composed into the run's folder."""
    train: Selection = Selection()
    validation: Selection | None = None
    """Null holds nothing out, and nothing is validated."""
    weights: dict[str, float] = Field(default_factory=dict)
    """Shares of the draws by data set; one that is not named is never drawn. Empty weighs all clips
    alike."""
    workers: int = Field(default=2, ge=0)
    """Threads that read ahead."""


def gather_corpus(config: DataConfig, folder: Path) -> Manifest:
    """Read the manifests of a recipe and make its scenes.

    Args:
        config: The data section.
        folder: Where scenes are made; several corpora of scenes may stand there side by side.

    Raises:
        ConfigError: There is no source of clips.
        UserError: A manifest cannot be read, or scenes cannot be made.
    """
    parts = [read_manifest(path) for path in config.manifests]
    if config.scenes is not None:
        parts.append(make_scenes(config.scenes, scenes_folder(config.scenes, folder)))
    if not parts:
        raise ConfigError(
            "The recipe names no data.",
            expected="data.manifests or data.scenes",
            change="Import a folder (soundwright data import) and add "
            "--set data.manifests=[FOLDER/manifest.jsonl].",
        )
    return parts[0] if len(parts) == 1 else join_manifests(parts, folder)


def scenes_folder(source: SceneSource, folder: Path) -> Path:
    """Where below `folder` the scenes of `source` stand: each source has its own place."""
    values = json.dumps(source.plain(), sort_keys=True)
    return folder / f"scenes-{hash_bytes(values.encode())[:12]}"


def split_corpus(config: DataConfig, corpus: Manifest) -> tuple[Manifest, Manifest | None]:
    """The clips to train on, and those to validate on.

    Raises:
        UserError: A selection names what is not there, or leaves nothing.
        ConfigError: A clip would be on both sides.
    """
    train = select_clips(corpus, config.train)
    if config.validation is None:
        return train, None
    validation = select_clips(corpus, config.validation)
    both = {clip.id for clip in train.clips} & {clip.id for clip in validation.clips}
    if both:
        raise ConfigError(
            f"{len(both)} clips are selected by data.train and by data.validation alike.",
            change="Exclude the validation split: data.train.exclude_splits.",
        )
    return train, validation


def draw_weights(config: DataConfig, clips: Sequence[Clip]) -> list[float] | None:
    """A weight for each clip, so that draws fall on data sets in the shares of the recipe.

    Raises:
        ConfigError: A weight is given to a data set that has no clip, or to none.
    """
    if not config.weights:
        return None
    counts = Counter(clip.source.dataset for clip in clips)
    for name, weight in config.weights.items():
        if weight and name not in counts:
            raise ConfigError(f"data.weights: no clip is of {name!r}; {nearest(name, counts)}")
    return [
        config.weights.get(clip.source.dataset, 0.0) / counts[clip.source.dataset] for clip in clips
    ]


@dataclass(frozen=True)
class Waveforms:
    """What a system that learns from sound alone trains on."""

    clips: Manifest
    """Those to train on."""
    batches: AudioSegments
    validation: AudioSegments | None


def cut_waveforms(
    config: DataConfig,
    segments: SegmentConfig,
    folder: Path,
    *,
    sample_rate: int,
    channels: int,
    seed: int,
) -> Waveforms:
    """Batches of waveforms of the corpus that a recipe describes, for training and validation.

    Args:
        config: The data section.
        segments: How waveforms are cut; for validation each begins with its clip.
        folder: Where scenes are made.
        sample_rate: Of the waveforms.
        channels: Of the waveforms.
        seed: Of all draws.

    Raises:
        UserError: As `gather_corpus`, `split_corpus` and `draw_weights`.
    """
    train, validation = split_corpus(config, gather_corpus(config, folder))
    batches = AudioSegments(
        train,
        segments,
        sample_rate=sample_rate,
        channels=channels,
        seed=seed,
        weights=draw_weights(config, train.clips),
    )
    held_out = None
    if validation is not None:
        still = segments.model_copy(update={"shuffle": False, "crop": "start"})
        held_out = AudioSegments(
            validation, still, sample_rate=sample_rate, channels=channels, seed=seed
        )
    return Waveforms(train, batches, held_out)
