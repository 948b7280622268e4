"""`soundwright generate`: sounds from words."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from soundwright.cli.output import JsonOption, emit_json, emit_text
from soundwright.core.errors import UserError

if TYPE_CHECKING:
    from soundwright.pipelines.generation import GeneratedSound

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")


def generate(
    prompts: Annotated[
        list[str] | None, typer.Argument(metavar="PROMPT...", help="What shall be heard.")
    ] = None,
    prompts_file: Annotated[
        Path | None, typer.Option("--prompts", metavar="FILE", help="A text file, one a line.")
    ] = None,
    model: Annotated[
        str, typer.Option(help="Name, model folder, or owner/name on the hub.")
    ] = "bundled",
    duration: Annotated[float | None, typer.Option(help="Seconds.")] = None,
    seed: Annotated[int, typer.Option(help="Of the first sound; the next one has one more.")] = 0,
    num_samples: Annotated[int, typer.Option(help="Sounds for each prompt.")] = 1,
    cfg_scale: Annotated[
        float | None, typer.Option(help="How closely to follow the words; 1 is no guidance.")
    ] = None,
    temperature: Annotated[
        float | None, typer.Option(help="Below 1 safer, above 1 bolder; 0 always the likeliest.")
    ] = None,
    top_k: Annotated[int | None, typer.Option(help="Draw among so many tokens; 0 is all.")] = None,
    top_p: Annotated[
        float | None, typer.Option(help="Draw among those with this probability together.")
    ] = None,
    continue_from: Annotated[
        Path | None, typer.Option(metavar="WAV", help="A sound to begin with and go on from.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE|DIR", help="A sound file, or a folder (default: this one)."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    dtype: Annotated[
        str, typer.Option(help="Of the weights: auto, fp32, bf16, or int8 (on a CPU).")
    ] = "auto",
    json: JsonOption = False,
) -> None:
    """Make sounds from words.

    Beside each sound stands a JSON file that says how it was made; the same is inside the sound.
    The same prompt, seed, settings and machine give the same bytes.

    Example: soundwright generate "a dog barks" "rain on a roof" --seed 7 --out sounds
    """
    wanted = _read_prompts(prompts or [], prompts_file)
    _check_out(out, len(wanted) * num_samples)

    from soundwright.core.progress import Meter
    from soundwright.pipelines.generation import check_prompts, load

    check_prompts(wanted, str(prompts_file) if prompts_file is not None else "")
    loaded = load(model, device=device, dtype=dtype)
    with Meter("generate", 100, unit="%") as meter:
        sounds = loaded.generate(
            wanted,
            duration=duration,
            seed=seed,
            num_samples=num_samples,
            cfg_scale=cfg_scale,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            continue_from=continue_from,
            progress=lambda part: meter.advance(int(100 * part) - meter.done),
        )
    files = [sound.save(_place(out, sound)) for sound in sounds]
    if json:
        described = [
            {"file": str(file), **sound.describe()}
            for file, sound in zip(files, sounds, strict=True)
        ]
        emit_json({"sounds": described})
    else:
        for file in files:
            emit_text(str(file))


def _read_prompts(given: list[str], file: Path | None) -> list[str]:
    if file is None:
        if not given:
            raise UserError(
                "There is no prompt.",
                change='Write what shall be heard: soundwright generate "a dog barks".',
            )
        return given
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not a text file"
        raise UserError(f"The prompts in {file} cannot be read: {reason}.") from error
    return [*given, *(line.strip() for line in lines if line.strip())]


def _check_out(out: Path | None, sounds: int) -> None:
    if out is None or out.is_dir() or not out.suffix:
        return
    if out.suffix.lower() not in SUFFIXES:
        raise UserError(
            f"A sound cannot be written as {out.suffix}.",
            expected=f"{', '.join(SUFFIXES)}, or a folder",
        )
    if sounds > 1:
        raise UserError(
            f"{sounds} sounds do not fit into one file, {out}.", expected="a folder as --out"
        )


def _place(out: Path | None, sound: GeneratedSound) -> Path:
    if out is not None and out.suffix and not out.is_dir():
        return out
    return (out or Path()) / f"{file_stem(sound.prompt)}-{sound.seed}.wav"


def file_stem(prompt: str) -> str:
    """A file name that still says what is heard."""
    words = re.sub(r"[\W_]+", "-", prompt.lower()).strip("-")
    return words[:60].rstrip("-") or "sound"
