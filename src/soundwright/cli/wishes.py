"""What `soundwright generate` was asked for, read and checked before any model is loaded."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Mapping
from pathlib import Path

from soundwright.core.errors import UserError

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
STDOUT = Path("-")
"""As `--out`: a stream goes to standard output."""

CONTRADICTIONS = (
    ("--stream", "--num-samples", "A stream is one sound."),
    ("--stream", "--loop", "The beginning of a loop is made last."),
    ("--stream", "--best-of", "The best is known only when all candidates are there."),
    ("--stream", "--infill", "A filling is chosen among several, by what follows it."),
    ("--loop", "--continue-from", "A loop begins where it ends, not with a given sound."),
    ("--loop", "--infill", "The sound around the span stays as it is."),
    ("--infill", "--continue-from", "What precedes the span is continued already."),
    ("--infill", "--duration", "The sound keeps its length, and --span says what is new."),
    ("--infill", "--best-of", "--candidates says how many fillings are made for a span."),
)
"""Two options, and why they cannot both be meant."""
NEEDS = (
    ("--infill", "--span", "the part that is made anew, such as --span 1.5:2.5"),
    ("--span", "--infill", "the sound that it is a part of, such as --infill rain.wav"),
    ("--candidates", "--infill", "a sound with a span to be filled; for whole sounds: --best-of"),
)
"""An option, another that it needs, and what that says."""


def check_together(given: Collection[str]) -> None:
    """Refuse options that contradict each other, or lack one that they need.

    Raises:
        UserError: Which two, and why.
    """
    for one, other, reason in CONTRADICTIONS:
        if one in given and other in given:
            raise UserError(
                f"{one} and {other} cannot both be meant. {reason}",
                change=f"Leave out {one} or {other}.",
            )
    for one, other, what in NEEDS:
        if one in given and other not in given:
            raise UserError(f"{one} needs {other}: {what}.")


def refuse(given: Mapping[str, object], kind: str, model: str) -> None:
    """Refuse options that a model of this kind does not have.

    Raises:
        UserError: Which one was given.
    """
    for name, value in given.items():
        if value is not None:
            raise UserError(
                f"--{name.replace('_', '-')} is not for {model}, which is a {kind} model.",
                change="Leave it out, or take another --model.",
            )


def read_prompts(given: list[str], file: Path | None) -> list[str]:
    """The prompts of the command line, and behind them those of a file, one a line.

    Raises:
        UserError: There is none, or the file cannot be read.
    """
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


def read_span(text: str) -> tuple[float, float]:
    """START:END in seconds.

    Raises:
        UserError: It is not that.
    """
    try:
        start, end = map(float, text.split(":"))
    except ValueError as error:
        raise UserError(
            f"{text!r} is not a span.", expected="START:END in seconds, such as 1.5:2.5"
        ) from error
    return start, end


def check_out(out: Path | None, sounds: int, *, streamed: bool, json: bool) -> None:
    """Refuse a place that cannot take the sounds.

    Raises:
        UserError: The suffix is not that of a sound, several sounds would go into one file, or
            standard output would have to take what it cannot.
    """
    if streamed and sounds > 1:
        raise UserError(f"A stream is one sound, and there are {sounds} prompts.")
    if out == STDOUT:
        _check_stdout(streamed, json)
        return
    if out is None or not is_file(out):
        return
    suffixes = SUFFIXES[:1] if streamed else SUFFIXES
    if out.suffix.lower() not in suffixes:
        raise UserError(
            f"A {'stream' if streamed else 'sound'} cannot be written as {out.suffix}.",
            expected=f"{', '.join(suffixes)}, or a folder",
        )
    if sounds > 1:
        raise UserError(
            f"{sounds} sounds do not fit into one file, {out}.", expected="a folder as --out"
        )


def is_file(out: Path) -> bool:
    """Whether `--out` means one sound file, not a folder."""
    return bool(out.suffix) and not out.is_dir()


def place(out: Path | None, prompt: str, seed: int) -> Path:
    """Where the sound of a prompt and a seed goes."""
    if out is not None and is_file(out):
        return out
    return (out or Path()) / f"{file_stem(prompt)}-{seed}.wav"


def file_stem(prompt: str) -> str:
    """A file name that still says what is heard."""
    words = re.sub(r"[\W_]+", "-", prompt.lower()).strip("-")
    return words[:60].rstrip("-") or "sound"


def _check_stdout(streamed: bool, json: bool) -> None:
    if not streamed:
        raise UserError("Only a stream goes to standard output.", change="Add --stream.")
    if json:
        raise UserError(
            "Standard output cannot take both a sound and a JSON object.",
            change="Leave out --json or --out -.",
        )
    if sys.stdout.isatty():
        raise UserError(
            "A terminal cannot play a sound.",
            change='Add a program that can: soundwright generate "rain" --stream --out - | aplay',
        )
