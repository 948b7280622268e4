"""What decoding asks of a model: read the tokens that came last, draw the ones that come next.

`decoding` decides which frames are made from what; an engine makes them. The plain engine runs
the model as it is, on any device and in any dtype. Other engines have to draw the same tokens.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from soundwright.core.protocols import TextStates
from soundwright.lm.model import AudioLm, LmConfig
from soundwright.lm.patterns import Pattern
from soundwright.lm.sampling import SamplingConfig, guide, sample


class Session(Protocol):
    """B sounds over B texts, position by position, up to a capacity."""

    def draw(self, tokens: Tensor, chance: Tensor) -> Tensor:
        """Read the tokens that follow those read so far, and draw the next step.

        Args:
            tokens: [B, K, S] int64. S may exceed 1 only right after the begin or a `rewind`.
            chance: [B, K], uniform numbers from `sampling.draw_uniforms`.

        Returns:
            [B, K] int64.
        """
        ...

    def rewind(self) -> None:
        """Forget all positions and keep the texts, for another window."""
        ...

    def is_finite(self) -> bool:
        """Whether the last logits were. What is not finite stays so: asking at the end will do."""
        ...


class Engine(Protocol):
    """A model that is ready to decode."""

    @property
    def config(self) -> LmConfig:
        """The model's shape."""
        ...

    @property
    def pattern(self) -> Pattern:
        """How frames are laid out over steps."""
        ...

    @property
    def device(self) -> torch.device:
        """Where tokens come from and go to."""
        ...

    @property
    def parameters(self) -> int:
        """How many the model has: a measure of how much a step has to do."""
        ...

    def begin(
        self,
        text: TextStates,
        negative: TextStates | None,
        sampling: SamplingConfig,
        capacity: int,
    ) -> Session:
        """Read the texts and make room for `capacity` positions.

        Args:
            text: Of the B sounds, on any device.
            negative: B texts to be guided away from, in the place of the empty text.
            sampling: Guidance and how tokens are drawn. Guidance 1 runs without a second batch.
            capacity: Most positions before a `rewind`.
        """
        ...


class PlainEngine:
    """The model as it is, in its own dtype."""

    def __init__(self, lm: AudioLm) -> None:
        self.lm = lm

    @property
    def config(self) -> LmConfig:
        """The model's shape."""
        return self.lm.config

    @property
    def pattern(self) -> Pattern:
        """How frames are laid out over steps."""
        return self.lm.pattern

    @property
    def device(self) -> torch.device:
        """The model's."""
        return self.lm.out_norm.weight.device

    @property
    def parameters(self) -> int:
        """Of the model."""
        return sum(parameter.numel() for parameter in self.lm.parameters())

    @torch.inference_mode()
    def begin(
        self,
        text: TextStates,
        negative: TextStates | None,
        sampling: SamplingConfig,
        capacity: int,
    ) -> PlainSession:
        """As `Engine.begin`."""
        states, mask = stack_rows(text, negative, sampling.guidance)
        return PlainSession(
            self.lm, states.to(self.device), mask.to(self.device), sampling, capacity
        )


class PlainSession:
    """Conditional rows and, below them, those that they are guided away from, in one batch."""

    def __init__(
        self, lm: AudioLm, states: Tensor, mask: Tensor, sampling: SamplingConfig, capacity: int
    ) -> None:
        self._lm, self._sampling = lm, sampling
        self._repeats = 1 if sampling.guidance == 1 else 2
        self._cache = lm.start(states, mask, capacity)
        self._logits = torch.zeros(())

    @torch.inference_mode()
    def draw(self, tokens: Tensor, chance: Tensor) -> Tensor:
        """As `Session.draw`."""
        return sample(self.predict(tokens), chance, self._sampling)

    @torch.inference_mode()
    def predict(self, tokens: Tensor) -> Tensor:
        """Read tokens [B, K, S] like `draw`; give the guided logits [B, K, codebook_size]."""
        logits = self._lm.step(tokens.repeat(self._repeats, 1, 1), self._cache).float()
        if self._repeats == 2:
            conditional, unconditional = logits.chunk(2)
            logits = guide(conditional, unconditional, self._sampling.guidance)
        self._logits = logits
        return logits

    def rewind(self) -> None:
        """As `Session.rewind`."""
        self._cache.rewind()

    def is_finite(self) -> bool:
        """As `Session.is_finite`."""
        return bool(torch.isfinite(self._logits).all())


def stack_rows(
    text: TextStates, negative: TextStates | None, guidance: float
) -> tuple[Tensor, Tensor]:
    """States and masks of all rows: the texts, and below them what they are guided away from."""
    if guidance == 1:
        return text.states, text.mask
    if negative is None:
        below, hidden = torch.zeros_like(text.states), torch.zeros_like(text.mask)
    else:
        below, hidden = negative.states, negative.mask
    longest = max(text.mask.shape[1], hidden.shape[1])
    states = [F.pad(side, (0, 0, 0, longest - side.shape[1])) for side in (text.states, below)]
    masks = [F.pad(side, (0, longest - side.shape[1])) for side in (text.mask, hidden)]
    return torch.cat(states), torch.cat(masks)
