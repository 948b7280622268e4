"""Music metadata (genre, tempo, key, tags ...) joined into text, as MusicGen's data set does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from pydantic import Field

from soundwright.core.config import Config

Value = str | float | int | bool | Sequence[str]


class MetadataConfig(Config):
    """How metadata joins a description during training."""

    fields: tuple[str, ...] = (
        "genre",
        "bpm",
        "tempo",
        "key",
        "moods",
        "instrument",
        "keywords",
        "tags",
    )
    """Names that are used, in the order in which they stand when they are not shuffled."""
    merge_probability: float = Field(default=0.25, ge=0, le=1)
    """Of joining metadata to a description that is there; without one it is always used."""
    drop_description: float = Field(default=0.5, ge=0, le=1)
    """Probability that joined metadata replaces the description."""
    drop_field: float = Field(default=0.5, ge=0, le=1)
    """Probability that one field is left out."""
    shuffle: bool = True


def merge_metadata(
    description: str,
    metadata: Mapping[str, Value],
    config: MetadataConfig,
    generator: np.random.Generator,
) -> str:
    """Join "genre: rock. bpm: 120" to a description, with random fields in random order.

    The draws from `generator` are the same in number for every input. The result is empty only
    where description and metadata are.

    Args:
        description: May be empty.
        metadata: Values by field; what `config.fields` does not name is left out.
        config: Probabilities and fields.
        generator: The stream of these draws.
    """
    merge, replace = generator.random(2)
    chances = generator.random(len(config.fields))
    order = generator.permutation(len(config.fields))
    pairs = {
        name: f"{name}: {shown}"
        for name in config.fields
        if name in metadata and (shown := _show(metadata[name]))
    }
    description = description.strip()
    if not pairs or (description and merge >= config.merge_probability):
        return description
    places = order if config.shuffle else range(len(config.fields))
    names = [config.fields[place] for place in places if config.fields[place] in pairs]
    kept = [name for name in names if chances[config.fields.index(name)] >= config.drop_field]
    if not kept and not description:
        kept = names
    if not kept:
        return description
    parts = [pairs[name] for name in kept]
    if description and replace >= config.drop_description:
        parts.insert(0, description.rstrip("."))
    return ". ".join(parts)


def _show(value: Value) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:g}"
    if isinstance(value, str):
        return " ".join(value.split())
    return ", ".join(value)
