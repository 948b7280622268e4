"""Model cards: what a model is, what it was trained on, whom to credit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from soundwright import __version__
from soundwright.codecs.mel_autoencoder import MelAutoencoderConfig
from soundwright.core.records import Clip
from soundwright.data.manifest import Manifest, read_manifest
from soundwright.data.selection import select_clips
from soundwright.data.statistics import summarise
from soundwright.pipelines.recipe import Recipe


def write_card(
    recipe: Recipe, facts: Mapping[str, Any], train: Manifest, *, lineage: str = ""
) -> str:
    """A card in Markdown.

    Args:
        recipe: What made the model.
        facts: Numbers by name: parameters, frame rate, steps ...
        train: The clips it was trained on.
        lineage: A sentence on the model that this one started from.
    """
    numbers = summarise(train)
    rows = "\n".join(f"| {name} | {value} |" for name, value in facts.items())
    data = "\n".join(
        f"| {name} | {amount.clips} | {amount.hours:.2f} |"
        for name, amount in numbers.datasets.items()
    )
    credits_ = _credits([*train.clips, *_recordings_of(recipe)])
    sections = [
        f"# {recipe.name}",
        recipe.description,
        lineage,
        f"| | |\n|---|---|\n{rows}\n| licence of the weights | {recipe.licence} |\n"
        f"| made by | soundwright {__version__}, `soundwright train {recipe.name}` |",
        "## Training data",
        f"| data set | clips | hours |\n|---|---|---|\n{data}",
        "Licences of the clips: "
        + ", ".join(f"{name} ({amount.clips})" for name, amount in numbers.licences.items())
        + ".",
        f"## Credits\n\n{credits_}" if credits_ else "",
        "## Recipe",
        "```yaml\n" + yaml.safe_dump(recipe.plain(), sort_keys=False, allow_unicode=True) + "```",
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def describe_latents(config: MelAutoencoderConfig) -> str:
    """Rate and shape of an autoencoder's latents, for people."""
    rate = config.mel.sample_rate / config.hop_length
    return f"{rate:g} frames a second of {' x '.join(map(str, config.latent_shape))}"


def _recordings_of(recipe: Recipe) -> Iterable[Clip]:
    """The recordings that events of the recipe's scenes were cut from."""
    source = recipe.data.scenes
    if source is None or source.recordings is None:
        return ()
    manifest = read_manifest(source.recordings.manifest)
    return select_clips(manifest, source.recordings.selection).clips


def _credits(clips: Iterable[Clip]) -> str:
    """One line for every recording whose author is known."""
    lines: dict[str, None] = {}
    for clip in clips:
        licence = clip.licence
        if not licence.author or clip.parents:
            continue
        title = licence.title or clip.source.item
        where = f", <{clip.source.url}>" if clip.source.url else ""
        lines[f'- "{title}" by {licence.author}, {licence.name}{where}'] = None
    return "\n".join(lines)
