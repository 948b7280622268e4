"""`soundwright bench`: how fast a model is on this machine."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from soundwright.cli.output import JsonOption, emit_json, emit_table, emit_text

COLUMNS = {
    "ms a step": "step_ms",
    "floor ms": "floor_ms",
    "times floor": "times_floor",
    "steps/s": "steps_per_s",
    "frames/s": "frames_per_s",
    "realtime": "realtime",
}


def bench(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="Name, model folder, or owner/name on the hub.")
    ] = "bundled",
    dtype: Annotated[
        list[str] | None,
        typer.Option(help="fp32, bf16 or int8, as often as needed (default: all that work here)."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    json: JsonOption = False,
) -> None:
    """Measure how fast a model makes sound on this machine.

    One sound of 100 frames is decoded with guidance, three times in each precision, beside the
    floor: the time in which the weights of a step can be read at all. Realtime is seconds of sound
    made in a second, the codec included.

    Example: soundwright bench bundled --dtype fp32 --dtype int8
    """
    from soundwright.core.progress import Meter
    from soundwright.pipelines.benchmarking import measure_model

    with Meter("bench", None, unit="runs") as meter:
        measured = measure_model(model, device=device, dtypes=dtype or (), progress=meter.advance)
    if json:
        emit_json(measured)
        return
    _show(measured)


def _show(measured: dict[str, Any]) -> None:
    machine = measured["machine"]
    emit_text(
        f"{measured['model']['name']} on {machine['device']}; {machine['processor']}, "
        f"{machine['threads']} threads, torch {machine['torch']}"
    )
    emit_table(
        ("dtype", *COLUMNS),
        (
            (dtype, *(f"{speed[key]:.3g}" for key in COLUMNS.values()))
            for dtype, speed in measured["decoding"].items()
        ),
    )
    for dtype, reason in measured["refused"].items():
        emit_text(f"{dtype}: {reason}")
