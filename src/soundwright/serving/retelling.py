"""How a sound is made elsewhere: as a command line, and as Python."""

from __future__ import annotations

import shlex
from typing import Any

from soundwright.serving.jobs import Plan
from soundwright.serving.naming import file_name

GIVEN = "the-sound-to-continue.wav"


def command_line(plan: Plan, prompt: str, seed: int, *, made: bool) -> str:
    """The command that makes a sound of a plan.

    Args:
        plan: Of its job.
        prompt: What shall be heard.
        seed: Of the sound.
        made: Whether the seed is that of the candidate which was kept, so that no others are made.
    """
    options: list[str] = []
    for name, value in _asked(plan, made).items():
        option = f"--{name.replace('_', '-')}"
        options += [option] if value is True else [option, _write(value)]
    out = file_name(prompt, seed, plan.format)
    # A prompt that begins with a dash is no option.
    words = ["--", prompt] if prompt.startswith("-") else []
    head = ["soundwright", "generate", *([] if words else [prompt])]
    return shlex.join([*head, "--seed", str(seed), *options, "--out", out, *words])


def python_code(plan: Plan, prompt: str, seed: int, *, made: bool) -> str:
    """The Python that makes a sound of a plan; arguments are those of `command_line`."""
    asked = _asked(plan, made)
    model = asked.pop("model", "bundled")
    arguments = "".join(f", {name}={value!r}" for name, value in asked.items())
    out = file_name(prompt, seed, plan.format)
    return (
        "import soundwright\n\n"
        f"model = soundwright.load({model!r})\n"
        f"[sound] = model.generate({prompt!r}, seed={seed}{arguments})\n"
        f"sound.save({out!r})\n"
    )


def _asked(plan: Plan, made: bool) -> dict[str, Any]:
    """Arguments of `generate` by name; what is as by default is left out."""
    asked: dict[str, Any] = {"model": plan.model} if plan.model != "bundled" else {}
    asked |= {name: value for name, value in plan.settings.items() if value is not None}
    if plan.negative is not None:
        asked["negative"] = plan.negative
    if plan.loop:
        asked["loop"] = True
    if plan.best_of != 1 and not made:
        asked["best_of"] = plan.best_of
    if plan.beginning is not None:
        asked["continue_from"] = GIVEN
    return asked


def _write(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)
