"""`soundwright generate`: sounds from words."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from soundwright.cli.output import AdapterOption, JsonOption, emit_json, emit_text
from soundwright.cli.wishes import (
    STDOUT,
    check_out,
    check_together,
    place,
    read_prompts,
    read_span,
    refuse,
)

if TYPE_CHECKING:
    from soundwright.pipelines.generation import Model

LIVE = "Long, live, looped"
GIVEN = "From a given sound"
DRAWING = "How tokens are drawn (language models)"
DENOISING = "How noise is undone (diffusion models)"


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
    adapters: AdapterOption = None,
    duration: Annotated[float | None, typer.Option(help="Seconds.")] = None,
    seed: Annotated[int, typer.Option(help="Of the first sound; the next one has one more.")] = 0,
    num_samples: Annotated[int, typer.Option(help="Sounds for each prompt.")] = 1,
    negative: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What shall not be heard.")
    ] = None,
    best_of: Annotated[
        int,
        typer.Option(
            metavar="N", help="Make N candidates for each sound, keep what fits its words best."
        ),
    ] = 1,
    stream: Annotated[
        bool,
        typer.Option(
            "--stream",
            rich_help_panel=LIVE,
            help="Write one WAV while it is made, up to a day long; --out - sends it to stdout.",
        ),
    ] = False,
    loop: Annotated[
        bool,
        typer.Option("--loop", rich_help_panel=LIVE, help="Let the end flow into the beginning."),
    ] = False,
    continue_from: Annotated[
        Path | None,
        typer.Option(
            metavar="WAV", rich_help_panel=GIVEN, help="A sound to begin with and go on from."
        ),
    ] = None,
    infill: Annotated[
        Path | None,
        typer.Option(
            metavar="WAV", rich_help_panel=GIVEN, help="A sound of which a span is made anew."
        ),
    ] = None,
    span: Annotated[
        str | None,
        typer.Option(metavar="START:END", rich_help_panel=GIVEN, help="That span, in seconds."),
    ] = None,
    candidates: Annotated[
        int | None,
        typer.Option(
            metavar="N", rich_help_panel=GIVEN, help="Fillings among which one is chosen; 8."
        ),
    ] = None,
    cfg_scale: Annotated[
        float | None,
        typer.Option(help="How closely to follow the words; 1 is no guidance."),
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(
            rich_help_panel=DRAWING,
            help="Below 1 safer, above 1 bolder; 0 always the likeliest.",
        ),
    ] = None,
    top_k: Annotated[
        int | None,
        typer.Option(rich_help_panel=DRAWING, help="Draw among so many tokens; 0 is all."),
    ] = None,
    top_p: Annotated[
        float | None,
        typer.Option(
            rich_help_panel=DRAWING, help="Draw among those with this probability together."
        ),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(rich_help_panel=DENOISING, help="More take longer; 25.")
    ] = None,
    sampler: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=DENOISING,
            help="dpm++, ddim, ddpm or unipc; euler or midpoint for a model of flow.",
        ),
    ] = None,
    cfg_rescale: Annotated[
        float | None,
        typer.Option(
            rich_help_panel=DENOISING,
            help="Take back how much louder guidance makes it, 0 to 1.",
        ),
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

    Live: soundwright generate "rain" --stream --duration 3600 --out rain.wav

    Looped: soundwright generate "sea waves" --loop --best-of 4 --negative "wind" --out waves.wav

    Mended: soundwright generate "a dog barks" --infill street.wav --span 1.5:2.5 --out mended.wav
    """
    asked = {
        "--stream": stream,
        "--loop": loop,
        "--num-samples": num_samples != 1,
        "--best-of": best_of != 1,
        "--duration": duration is not None,
        "--continue-from": continue_from is not None,
        "--infill": infill is not None,
        "--span": span is not None,
        "--candidates": candidates is not None,
    }
    check_together([option for option, given in asked.items() if given])
    wanted = read_prompts(prompts or [], prompts_file)
    check_out(out, len(wanted) * num_samples, streamed=stream, json=json)
    part = None if span is None else read_span(span)

    from soundwright.core.progress import Meter
    from soundwright.pipelines.adapters import parse_choice
    from soundwright.pipelines.generation import FILLINGS, LatentModel, check_prompts, load

    check_prompts(wanted, str(prompts_file) if prompts_file is not None else "")
    chosen = [parse_choice(adapter) for adapter in adapters or ()]
    loaded = load(model, device=device, dtype=dtype, adapters=chosen)
    of_tokens = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    of_noise = {"steps": steps, "sampler": sampler, "cfg_rescale": cfg_rescale}
    if isinstance(loaded, LatentModel):
        live = {"stream": stream or None, "continue_from": continue_from, "infill": infill}
        refuse({**of_tokens, **live}, "diffusion", model)
        drawing: dict[str, Any] = of_noise
        given: dict[str, Any] = {}
    else:
        refuse(of_noise, "language", model)
        drawing, given = of_tokens, {"continue_from": continue_from}
    drawing = {"seed": seed, "negative": negative, "cfg_scale": cfg_scale, **drawing}
    if stream:
        assert not isinstance(loaded, LatentModel)
        _write_live(loaded, wanted[0], out, json, duration=duration, **given, **drawing)
        return
    with Meter("generate", 100, unit="%") as meter:
        many: dict[str, Any] = {
            **drawing,
            "num_samples": num_samples,
            "progress": lambda done: meter.advance(int(100 * done) - meter.done),
        }
        if infill is not None and part is not None:
            assert not isinstance(loaded, LatentModel)
            count = FILLINGS if candidates is None else candidates
            sounds = loaded.infill(wanted, infill, part, candidates=count, **many)
        else:
            sounds = loaded.generate(
                wanted,
                duration=duration,
                loop=loop,
                best_of=best_of,
                **given,
                **many,
            )
    files = [sound.save(place(out, sound.prompt, sound.seed)) for sound in sounds]
    described = [sound.describe() for sound in sounds]
    _report(files, described, json)


def _write_live(model: Model, prompt: str, out: Path | None, json: bool, **settings: Any) -> None:
    """Write one sound while it is made."""
    from soundwright.core.progress import Meter

    def report(done: float) -> None:
        meter.advance(int(done * seconds) - meter.done)

    live = model.stream(prompt, progress=report, **settings)
    seconds = max(1, round(live.duration))
    with Meter("generate", seconds, unit="s of sound") as meter:
        if out == STDOUT:
            live.pour(sys.stdout.buffer)
            return
        file = live.save(place(out, prompt, live.origin.seed))
    _report([file], [live.origin.describe(live.duration)], json)


def _report(files: Sequence[Path], described: Sequence[dict[str, Any]], json: bool) -> None:
    if json:
        pairs = zip(files, described, strict=True)
        emit_json({"sounds": [{"file": str(file), **sound} for file, sound in pairs]})
    else:
        for file in files:
            emit_text(str(file))
