"""What all models that generate have in common: a name, a hash, and how their sounds came about."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from soundwright.core.files import hash_bytes
from soundwright.pipelines.adapters import Adapter
from soundwright.pipelines.making import Item, Made
from soundwright.pipelines.models import ModelRecord
from soundwright.pipelines.sounds import GeneratedSound


class Generator:
    """A loaded model.

    Args:
        record: Where it comes from.
        sample_rate: Of its sounds.
        adapters: What was added to its weights.
    """

    def __init__(
        self, record: ModelRecord, sample_rate: int, adapters: Sequence[Adapter] = ()
    ) -> None:
        self.record, self.adapters = record, tuple(adapters)
        self.sample_rate = sample_rate
        """Samples a second of what it generates."""

    @property
    def name(self) -> str:
        """What the model calls itself, with its adapters."""
        return " + ".join([self.record.name, *(adapter.label for adapter in self.adapters)])

    @property
    def hash(self) -> str:
        """Identity of weights and configuration, adapters with them, 16 hex digits."""
        if not self.adapters:
            return self.record.hash
        mixture = [self.record.hash, *((one.record.hash, one.weight) for one in self.adapters)]
        return hash_bytes(json.dumps(mixture).encode())[:16]

    def describe(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Settings of a sound, with the adapters that it was made with."""
        if not self.adapters:
            return settings
        return {**settings, "adapters": [adapter.describe() for adapter in self.adapters]}

    def origin(self, item: Item) -> dict[str, Any]:
        """Of a sound that this model makes."""
        prompt, seed = item
        return {
            "prompt": prompt,
            "seed": seed,
            "model": self.name,
            "model_hash": self.hash,
            "sample_rate": self.sample_rate,
        }

    def present(self, made: Made, settings: dict[str, Any]) -> GeneratedSound:
        """A sound with how it was made."""
        return GeneratedSound(
            **self.origin(made.item),
            settings=settings,
            samples=made.samples,
            ranking=made.ranking,
        )


def repeat(prompts: str | Sequence[str], times: int) -> list[str]:
    """Each prompt so many times, prompt after prompt."""
    prompts = [prompts] if isinstance(prompts, str) else prompts
    return [prompt for prompt in prompts for _ in range(times)]
