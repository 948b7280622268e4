"""A page of generated sounds that needs nothing but itself: players, waveforms, spectrograms."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template

from soundwright.audio.encoding import encode
from soundwright.audio.loudness import peak_db, rms_db
from soundwright.audio.sound import Sound
from soundwright.core.files import write_text
from soundwright.pipelines.pictures import (
    COLUMNS,
    draw_spectrogram,
    draw_waveform,
    frequency_marks,
)


@dataclass(frozen=True)
class Take:
    """One sound of the page."""

    sound: Sound
    prompt: str
    file: str
    """Name of the sound file beside the page."""
    command: str
    """What makes the sound again."""
    seed: int
    remark: str = ""
    """A word on what the prompt tests, such as "counted"."""


def write_gallery(
    path: Path,
    title: str,
    introduction: str,
    numbers: Mapping[str, str],
    takes: Sequence[Take],
) -> None:
    """Write the page; sounds and pictures are inside it.

    Args:
        path: The HTML file.
        title: Its heading.
        introduction: A sentence or two below it.
        numbers: Facts by name, shown as a row.
        takes: The sounds, in order.
    """
    shown = "".join(
        f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd></div>"
        for name, value in numbers.items()
    )
    page = _template("gallery.html").substitute(
        title=html.escape(title),
        introduction=html.escape(introduction),
        numbers=shown,
        takes="\n".join(_render(number, take) for number, take in enumerate(takes)),
    )
    write_text(path, page)


def _render(number: int, take: Take) -> str:
    sound = take.sound
    facts = [
        f"<b>{html.escape(take.remark)}</b>" if take.remark else "",
        f"{sound.duration:.1f} s",
        f"seed {take.seed}",
        f"{rms_db(sound.samples):.0f} dB RMS, {peak_db(sound.samples):.0f} dB peak",
    ]
    ticks = "".join(
        f'<span style="bottom:{100 * height:.1f}%">{label}</span>'
        for label, height in frequency_marks(sound)
    )
    return _template("gallery_take.html").substitute(
        anchor=f"take-{number + 1}",
        prompt=html.escape(take.prompt),
        facts=" · ".join(fact for fact in facts if fact),
        seconds=f"{sound.duration:.1f}",
        spectrogram=base64.b64encode(draw_spectrogram(sound)).decode(),
        columns=COLUMNS,
        waveform=draw_waveform(sound),
        ticks=ticks,
        audio=base64.b64encode(encode(sound, ".wav")).decode(),
        command=html.escape(take.command),
        file=html.escape(take.file),
    )


def _template(name: str) -> Template:
    return Template(files("soundwright.pipelines").joinpath(name).read_text(encoding="utf-8"))
