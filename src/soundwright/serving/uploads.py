"""Sounds that clients send, looked at where they can do no harm.

A decoder reads what strangers have made. It works in a process of its own, which has only so long
and may die; the server says so and goes on with a new one.
"""

from __future__ import annotations

import os
import sys
import threading
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple

from soundwright.core.errors import AudioError, UserError
from soundwright.core.processes import Child

PATIENCE_S = 10.0
FIRST_PATIENCE_S = 120.0
"""For a process that must first import what it needs."""
SHORTEST_S = 0.05


class _Look(NamedTuple):
    path: Path
    longest: float


class _Fault(NamedTuple):
    problem: str
    expected: str
    change: str


class Listener:
    """Decodes one upload at a time, whole, to see that it is a sound. From any thread.

    Args:
        longest: Seconds of an upload.
    """

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._lock = threading.Lock()
        self._child: Child | None = None
        self._fresh = True

    def listen(self, path: Path) -> dict[str, Any]:
        """Decode a file.

        Returns:
            Its duration in seconds, its sample_rate and its channels.

        Raises:
            AudioError: It is no sound, too long, or a decoder perished of it.
        """
        with self._lock:
            if self._child is None or not self._child.alive:
                self._child, self._fresh = Child(_listen, name="soundwright listener"), True
            child, patience = self._child, FIRST_PATIENCE_S if self._fresh else PATIENCE_S
            try:
                child.pipe.send(_Look(path, self._longest))
                if not wait([child.pipe, child.process.sentinel], patience):
                    child.process.kill()
                found = child.pipe.recv()
            except (EOFError, OSError) as error:
                self._child = None
                raise AudioError(
                    f"No decoder survives this file: it ended with {child.mourn()}.",
                    reason="unsupported",
                    expected="a sound file that other programs play",
                ) from error
            self._fresh = False
        if isinstance(found, _Fault):
            raise AudioError(
                found.problem, reason="not-audio", expected=found.expected, change=found.change
            )
        return found

    def close(self) -> None:
        """End the process."""
        with self._lock:
            if self._child is not None:
                self._child.stop()
                self._child = None


def _listen(pipe: Connection) -> None:
    """The process: paths come in, facts or faults go out."""
    from soundwright.audio.files import read

    # Decoders write about each bad frame there, and a stranger's file has many.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    while True:
        try:
            look = pipe.recv()
            try:
                sound = read(look.path, max_duration=look.longest)
                if sound.duration < SHORTEST_S:
                    raise AudioError(
                        f"It lasts {sound.duration:.3f} s.",
                        reason="no-samples",
                        expected=f"at least {SHORTEST_S:g} s",
                    )
                answer: Any = {
                    "duration": round(sound.duration, 4),
                    "sample_rate": sound.sample_rate,
                    "channels": sound.channels,
                }
            except UserError as error:
                # What the file is called here is nobody's business.
                names = (str(look.path), look.path.name)
                answer = _Fault(
                    *(
                        text.replace(names[0], "The upload").replace(names[1], "the upload")
                        for text in (error.problem, error.expected, error.change)
                    )
                )
            except Exception as error:  # noqa: BLE001 - whatever a stranger's file has set off
                answer = _Fault(f"It cannot be read: {type(error).__name__}.", "a sound file", "")
            pipe.send(answer)
        except (EOFError, OSError):
            return
