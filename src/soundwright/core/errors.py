"""Errors for people: what was given, what was expected, what to change."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake that the person at the keyboard can mend.

    The command line prints its text without a traceback and exits with status 2.

    Args:
        problem: What was given and why it cannot be used, one sentence.
        expected: What would have been right.
        change: What to do about it.
    """

    def __init__(self, problem: str, *, expected: str = "", change: str = "") -> None:
        self.problem = problem
        self.expected = expected
        self.change = change
        super().__init__(str(self))

    def __str__(self) -> str:
        lines = [self.problem]
        if self.expected:
            lines.append(f"  expected: {self.expected}")
        if self.change:
            lines.append(f"  to mend:  {self.change}")
        return "\n".join(lines)


class ConfigError(UserError):
    """A recipe or an override that does not describe a valid configuration."""


class AudioError(UserError):
    """A sound file that cannot be used; `reason` is a stable word for counting.

    Args:
        problem: As in `UserError`.
        reason: One of missing, empty, not-audio, truncated, no-samples, not-finite, too-long,
            unsupported; of a video also no-audio-stream.
        expected: As in `UserError`.
        change: As in `UserError`.
    """

    def __init__(self, problem: str, *, reason: str, expected: str = "", change: str = "") -> None:
        self.reason = reason
        super().__init__(problem, expected=expected, change=change)


class CheckpointError(UserError):
    """A checkpoint or model folder that is incomplete, damaged or of another kind."""


class MissingWeightsError(UserError):
    """Pretrained weights that are neither on this machine nor reachable."""


def nearest(name: str, names: Iterable[str]) -> str:
    """Say which valid names are close to `name`: "did you mean X?" or the whole short list."""
    names = sorted(names)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    return "one of: " + ", ".join(names) if names else "nothing is defined here"
