"""Clips that turn out to be bad while a corpus is used."""

from __future__ import annotations

import logging
import threading

from soundwright.core.errors import AudioError, UserError
from soundwright.core.records import Clip

logger = logging.getLogger(__name__)


class BadClips:
    """Clips whose files cannot be used, with the reason; refuses to hold too many.

    Args:
        count: Number of all clips.
        max_rate: Part of them that may be bad.
    """

    def __init__(self, count: int, max_rate: float) -> None:
        self.reasons: dict[str, str] = {}
        """Reason by clip id."""
        self._count = count
        self._allowed = max(int(count * max_rate), 1 if max_rate > 0 else 0)
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.reasons)

    def __contains__(self, clip_id: object) -> bool:
        return clip_id in self.reasons

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in self.__dict__.items() if name != "_lock"}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()

    def add(self, clip: Clip, error: AudioError) -> None:
        """Count a bad clip.

        Raises:
            UserError: That is one too many.
        """
        with self._lock:
            if clip.id not in self.reasons:
                self.reasons[clip.id] = error.reason
                logger.warning("clip %s is left out: %s", clip.id, error.problem)
            if len(self.reasons) > self._allowed:
                raise UserError(
                    f"{len(self.reasons)} of {self._count} clips cannot be read, the last one: "
                    f"{error.problem}",
                    expected=f"at most {self._allowed} bad clips",
                    change="Run `soundwright data verify`, mend or drop them, or raise "
                    "max_bad_rate.",
                ) from error
