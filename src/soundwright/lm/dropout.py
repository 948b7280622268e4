"""Hiding the text in training, for classifier-free guidance: a decision about a whole step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from soundwright.core.seeding import torch_stream


class TextDropping:
    """Decides, step by step, whether the text is hidden: for the whole batch, on all ranks alike.

    Equation 6 tells steps apart, not samples: in a step with the text hidden, all the batch's
    pairs can enter RR. All micro-batches of a step share its decision.

    Args:
        probability: Share of steps without text; 0.1 in the paper.
        seed: Seed of the run. The stream is named, never numbered by rank.
    """

    def __init__(self, probability: float, seed: int) -> None:
        self.probability = probability
        self._stream = torch_stream(seed, "lm", "text dropping")
        self._step = -1
        self._dropped = False

    def decide(self, step: int) -> bool:
        """Whether step number `step` is one without text; asked again, it answers the same."""
        if step != self._step:
            draw = torch.rand((), generator=self._stream, dtype=torch.float64)
            self._step, self._dropped = step, bool(draw < self.probability)
        return self._dropped

    def state_dict(self) -> dict[str, Any]:
        """The stream's position, and the decision of the step that is under way."""
        return {
            "stream": self._stream.get_state(),
            "step": self._step,
            "dropped": self._dropped,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a saved position."""
        self._stream.set_state(state["stream"].cpu())
        self._step, self._dropped = int(state["step"]), bool(state["dropped"])
