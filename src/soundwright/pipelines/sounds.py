"""A generated sound, and everything that is needed to make it again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

import soundwright
from soundwright.audio.files import write
from soundwright.audio.sound import Sound
from soundwright.core.files import write_json


@dataclass(frozen=True, kw_only=True)
class Origin:
    """How a sound was, or is being, made."""

    prompt: str
    seed: int
    """Of this item: `generate` with this seed and this prompt alone makes it again."""
    settings: dict[str, Any]
    """Duration, guidance and sampling as they were used."""
    model: str
    """The model's own name."""
    model_hash: str
    sample_rate: int
    """Samples a second."""
    ranking: dict[str, Any] | None = None
    """The candidates that it was chosen from, with their scores."""

    def describe(self, duration: float) -> dict[str, Any]:
        """As JSON values; `duration` in seconds is that of what there is."""
        described = {
            "prompt": self.prompt,
            "seed": self.seed,
            "settings": self.settings,
            "model": self.model,
            "model_hash": self.model_hash,
            "sample_rate": self.sample_rate,
            "duration": duration,
            "soundwright": soundwright.__version__,
        }
        return described if self.ranking is None else {**described, "ranking": self.ranking}


def tag(described: dict[str, Any]) -> dict[str, str]:
    """What stands inside a sound file: the prompt as its title, and all as its comment."""
    return {
        "title": str(described["prompt"]),
        "comment": json.dumps(described, ensure_ascii=False),
    }


def write_description(path: Path, described: dict[str, Any]) -> None:
    """Write the JSON file beside the sound `path`."""
    write_json(path.with_suffix(".json"), {"file": path.name, **described})


@dataclass(frozen=True, kw_only=True)
class GeneratedSound(Origin):
    """A sound with how it was made."""

    samples: Tensor
    """[C, N] float32 in [-1, 1]."""

    @property
    def sound(self) -> Sound:
        """Samples and rate."""
        return Sound(self.samples, self.sample_rate)

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.sound.duration

    def describe(self, duration: float | None = None) -> dict[str, Any]:
        """How the sound was made, as JSON values."""
        return super().describe(self.duration if duration is None else duration)

    def save(self, path: Path | str) -> Path:
        """Write the sound with its description inside, and the same as JSON beside it.

        The same sound gives the same bytes.

        Args:
            path: .wav, .flac, .ogg or .mp3.

        Returns:
            The path of the sound.

        Raises:
            UserError: Another suffix, or a disk that is full or cannot be written.
        """
        path = Path(path)
        described = self.describe()
        write(path, self.sound, metadata=tag(described))
        write_description(path, described)
        return path
