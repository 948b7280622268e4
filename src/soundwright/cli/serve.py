"""`soundwright serve`: the HTTP API and the studio."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from soundwright.cli.output import JsonOption, emit_json, emit_text

LIMITS = "Limits"
KEEPING = "What is kept"
ACCESS = "Who may use it"


def serve(
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model", metavar="NAME|DIR", help="Offered models, as often as needed; bundled."
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 lets others of the network in.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 is any free one.")] = 8000,
    device: Annotated[
        list[str] | None,
        typer.Option(help="auto, cpu, cuda, cuda:1 ...; a worker for each that is named."),
    ] = None,
    dtype: Annotated[
        str, typer.Option(help="Of the weights: auto, fp32, bf16, or int8 (on a CPU).")
    ] = "auto",
    token: Annotated[
        str | None,
        typer.Option(
            envvar="SOUNDWRIGHT_TOKEN",
            show_envvar=True,
            rich_help_panel=ACCESS,
            help="What clients must send; drawn and printed where others reach the address.",
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            rich_help_panel=ACCESS,
            help="A name under which clients know the server, such as behind a proxy.",
        ),
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ORIGIN",
            rich_help_panel=ACCESS,
            help="Another page that may use the API from a browser, such as https://example.org.",
        ),
    ] = None,
    rate: Annotated[
        int | None,
        typer.Option(
            rich_help_panel=ACCESS, help="Requests of one client in a minute; 0 is no limit; 300."
        ),
    ] = None,
    queue: Annotated[
        int | None, typer.Option(rich_help_panel=LIMITS, help="Sounds that may wait; 64.")
    ] = None,
    batch: Annotated[
        int | None, typer.Option(rich_help_panel=LIMITS, help="Sounds made at once; 8.")
    ] = None,
    longest: Annotated[
        float | None, typer.Option(rich_help_panel=LIMITS, help="Seconds of a sound; 60.")
    ] = None,
    time_limit: Annotated[
        float | None,
        typer.Option(
            rich_help_panel=LIMITS, help="Seconds after which work on a batch is given up; 600."
        ),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            rich_help_panel=KEEPING,
            help="Where jobs and sounds are kept; serve/ in the cache folder.",
        ),
    ] = None,
    keep_days: Annotated[
        float | None,
        typer.Option(rich_help_panel=KEEPING, help="Remove results after so long; 30."),
    ] = None,
    keep_gb: Annotated[
        float | None,
        typer.Option(rich_help_panel=KEEPING, help="Remove the oldest when all are larger; 2."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Serve the studio page and the HTTP API; Ctrl-C ends it, and nothing accepted is lost.

    Favourites are kept for ever. What the API takes is described at /openapi.json.

    Example: soundwright serve

    For others: soundwright serve --host 0.0.0.0 --model bundled --model bundled-diffusion
    """
    from soundwright.serving.config import GIBI, ServingConfig
    from soundwright.serving.starting import check_models, serve, settle_access
    from soundwright.web.ports import address_of, check_packages, listen

    check_packages("Serving")
    given: dict[str, Any] = {
        "models": models,
        "devices": device,
        "dtype": dtype,
        "state": state,
        "token": token,
        "hosts": [name.lower() for name in allow_host or ()] or None,
        "origins": allow_origin,
        "queue": queue,
        "batch": batch,
        "rate": rate,
        "longest": longest,
        "time_limit": time_limit,
        "keep_days": keep_days,
        "keep_bytes": None if keep_gb is None else int(keep_gb * GIBI),
    }
    values = {name: value for name, value in given.items() if value is not None}
    config = settle_access(ServingConfig.read(values, origin="the options"), host)
    check_models(config)
    listener = listen(host, port)
    address = address_of(listener, host)
    drawn = config.token if token is None else None

    def announce() -> None:
        if json:
            emit_json({"address": address, "pid": os.getpid(), "token": drawn})
        else:
            page = f"{address}#token={drawn}" if drawn else address
            emit_text(f"The studio: {page}")
            emit_text(f"The API:    {address}openapi.json (Ctrl-C ends; nothing accepted is lost)")
        sys.stdout.flush()

    serve(config, listener, announce)
