"""The command `soundwright`: its subcommands, and how their errors reach a person."""

from __future__ import annotations

import errno
import logging
import os
import signal
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from soundwright import __version__
from soundwright.cli import (
    bench,
    caption,
    corpus,
    data,
    demo,
    evaluate,
    generate,
    models,
    prefer,
    recipes,
    scenes,
    serve,
    study,
    sweep,
    train,
)
from soundwright.cli.output import emit_text, note
from soundwright.core.errors import UserError
from soundwright.core.files import disk_error

MISTAKE, SIGNALLED = 2, 128
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Numbers of the errors of a full disk; those met in `core.files` are `UserError`s already."""


class Commands(TyperGroup):
    """The root group: a person's mistake ends with its text and status 2, without a traceback.

    Anything else that goes wrong is ours: it keeps its traceback and ends with status 1.
    """

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)  # type: ignore[arg-type]
        except UserError as error:
            note(f"Error: {error}")
            raise typer.Exit(MISTAKE) from error
        except OSError as error:
            if error.errno not in FULL:
                raise
            note(f"Error: {disk_error(Path(error.filename or 'the output'), error)}")
            raise typer.Exit(MISTAKE) from error
        except KeyboardInterrupt as error:
            note(str(error) or "Interrupted. What was finished is kept.")
            raise typer.Exit(SIGNALLED + getattr(error, "signal", signal.SIGINT)) from error


app = typer.Typer(
    cls=Commands,
    name="soundwright",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        emit_text(f"soundwright {__version__}")
        raise typer.Exit


@app.callback()
def describe(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Say which.")
    ] = False,
) -> None:
    """Turns words into sound, and makes sound obey words.

    Example: soundwright generate "a dog barks twice" --out dog.wav
    """


app.command("generate")(generate.generate)
app.command("train")(train.train)
app.command("demo")(demo.demo)
app.command("evaluate")(evaluate.evaluate)
app.command("caption")(caption.caption)
app.command("serve")(serve.serve)
app.command("bench")(bench.bench)
app.add_typer(corpus.app, name="corpus")
app.add_typer(data.app, name="data")
app.add_typer(models.app, name="models")
app.add_typer(prefer.app, name="prefer")
app.add_typer(recipes.app, name="recipes")
app.add_typer(scenes.app, name="scenes")
app.add_typer(study.app, name="study")
app.add_typer(sweep.app, name="sweep")


def main() -> None:
    """Entry point of the command."""
    # Tokenizers would warn, on standard error, whenever a process with threads forks.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    app()
