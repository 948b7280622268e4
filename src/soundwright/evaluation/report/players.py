"""Players with spectrograms for the sounds that are worth hearing first, inside the page."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape

from soundwright.audio.channels import to_channels
from soundwright.audio.encoding import encode
from soundwright.audio.resampling import resample
from soundwright.audio.sound import Sound
from soundwright.core.errors import AudioError
from soundwright.evaluation.collection import Collection, Item
from soundwright.evaluation.report.charts import format_number
from soundwright.evaluation.report.ranking import RankedClip
from soundwright.pipelines.pictures import draw_spectrogram

SHOWN = 12
"""Sounds with players; each with one of its references."""
SECONDS = 10.0
RATE = 32_000
"""At most; a page has to stay small enough to be sent."""


def show_takes(clips: Sequence[RankedClip], generated: Collection, reference: Collection) -> str:
    """The first sounds, each beside its first reference."""
    made = {item.name: item for item in generated.items}
    real = {item.name: item for item in reference.items}
    return "".join(_show(clip, made, real) for clip in clips[:SHOWN])


def _show(clip: RankedClip, made: Mapping[str, Item], real: Mapping[str, Item]) -> str:
    numbers = " · ".join(
        f"{metric} {format_number(value)}"
        + (f" ({clip.deltas[metric]:+.3g})" if metric in clip.deltas else "")
        for metric, value in clip.values.items()
    )
    sides = _play("generated", clip.name, made.get(clip.name))
    if clip.references:
        first = clip.references[0]
        more = f", one of {len(clip.references)}" if len(clip.references) > 1 else ""
        item = real.get(first)
        sides += _play(f"reference{more}", first if item is None else item.shown, item)
    title = clip.prompt or clip.group
    return (
        f'<article class="take"><header><h3>{escape(title)}</h3>'
        f"<p>{escape(numbers)}</p></header>"
        f'<div class="sides">{sides}</div></article>'
    )


def _play(role: str, name: str, item: Item | None) -> str:
    label = f'<b title="{escape(name)}">{escape(role)}: {escape(name)}</b>'
    try:
        if item is None:
            raise AudioError(f"{name} is not there.", reason="missing")
        sound = _shorten(item.read())
    except AudioError as error:
        return f"<div>{label}<p>{escape(error.problem)}</p></div>"
    picture = base64.b64encode(draw_spectrogram(sound)).decode()
    audio = base64.b64encode(encode(sound, ".mp3")).decode()
    return (
        f'<div>{label}<img alt="Spectrogram of {escape(name)}" '
        f'src="data:image/png;base64,{picture}">'
        f'<audio controls preload="none" aria-label="{escape(role)}: {escape(name)}" '
        f'src="data:audio/mpeg;base64,{audio}"></audio></div>'
    )


def _shorten(sound: Sound) -> Sound:
    """The beginning, mono, at no more than `RATE`."""
    samples = to_channels(sound.samples, 1)[:, : round(SECONDS * sound.sample_rate)]
    if sound.sample_rate <= RATE:
        return Sound(samples, sound.sample_rate)
    return Sound(resample(samples, sound.sample_rate, RATE), RATE)
