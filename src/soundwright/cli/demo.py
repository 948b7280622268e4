"""`soundwright demo`: ten sounds and a page to hear and see them on."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from soundwright.cli.output import JsonOption, emit_json, emit_text
from soundwright.cli.wishes import file_stem

PROMPTS = (
    ("a dog barks", ""),
    ("a rooster crows", ""),
    ("rain falls steadily", ""),
    ("sea waves roll onto the shore", ""),
    ("a fire crackles", ""),
    ("a clock ticks", ""),
    ("a helicopter flies past", ""),
    ("a baby cries", ""),
    ("a dog barks three times", "counted"),
    ("a person sneezes, then a rooster crows", "ordered"),
)
SECONDS = 5.0


def demo(
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder to write.")] = Path("demo"),
    model: Annotated[str, typer.Option(help="Name or folder of a model.")] = "bundled",
    seed: Annotated[int, typer.Option(help="Of the first sound.")] = 0,
    json: JsonOption = False,
) -> None:
    """Generate ten sounds, one counted and one ordered, with a page that plays and shows them.

    Example: soundwright demo --out demo
    """
    from soundwright.core.progress import Meter
    from soundwright.pipelines.gallery import Take, write_gallery
    from soundwright.pipelines.generation import load

    loaded = load(model)
    started = time.monotonic()
    with Meter("generate", 100, unit="%") as meter:
        sounds = loaded.generate(
            [prompt for prompt, _ in PROMPTS],
            duration=SECONDS,
            seed=seed,
            progress=lambda part: meter.advance(int(100 * part) - meter.done),
        )
    took = time.monotonic() - started
    takes = []
    for number, (sound, (prompt, remark)) in enumerate(zip(sounds, PROMPTS, strict=True), start=1):
        name = f"{number:02d}-{file_stem(prompt)}.wav"
        sound.save(out / name)
        command = (
            f'soundwright generate "{prompt}" --model {model} --duration {SECONDS:g} '
            f"--seed {sound.seed} --out {name}"
        )
        takes.append(Take(sound.sound, prompt, name, command, sound.seed, remark))
    page = out / "index.html"
    write_gallery(
        page,
        "Ten sounds, made from words",
        "Each of these was made from the sentence above it by a language model over codec tokens, "
        "on the machine that wrote this page. They are the first that came: nothing was chosen.",
        {
            "model": f"{loaded.name} {loaded.hash}",
            "sound": f"{loaded.sample_rate / 1000:g} kHz",
            "made in": f"{took:.1f} s for {SECONDS * len(takes):g} s of sound",
        },
        takes,
    )
    if json:
        emit_json({"page": str(page.resolve()), "sounds": [take.file for take in takes]})
    else:
        emit_text(f"Open {page.resolve()} in a browser to hear them.")
