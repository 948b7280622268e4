"""The two kinds of dropping in training, each from a stream of its own.

Hiding the text (classifier-free guidance training) is a decision about a whole step; dropout
within the network is a draw for every activation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from soundwright.core.seeding import derive_seed, initialising, torch_stream


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


@contextmanager
def activation_dropout(seed: int, *names: str | int, device: torch.device) -> Iterator[None]:
    """A block in which `nn.Dropout` draws from a named stream, on the CPU and on `device`.

    The stream begins anew with each block: named by the step, it makes dropout a pure function of
    the step, and a resumed run needs no state. Behind the block all generators stand as before.
    """
    with ExitStack() as stack:
        stack.enter_context(initialising(seed, *names))
        if device.type == "cuda":
            stack.enter_context(torch.random.fork_rng([device]))
            torch.cuda.default_generators[
                device.index if device.index is not None else torch.cuda.current_device()
            ].manual_seed(derive_seed(seed, *names))
        yield
