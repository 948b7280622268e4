"""How K codebooks are laid out over the steps of one sequence.

A pattern is one delay per codebook. Step 0 holds the special token everywhere; step s of codebook
q holds frame s - 1 - delay(q), and the special token where there is no such frame. With K = 4, the
delay pattern over frames 0, 1, 2 (`.` is the special token):

    codebook   step 0 1 2 3 4 5 6
    0               . 0 1 2 . . .
    1               . . 0 1 2 . .
    2               . . . 0 1 2 .
    3               . . . . 0 1 2

Generation walks over all `frames + 1 + max(delays)` steps. Training stops after `frames + 1`, as
AudioCraft does: the last q frames of codebook q are then neither inputs nor targets, and the model
never reads the special token behind a real one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

PatternName = Literal["delay", "parallel", "stereo-delay"]


class TrainingSequence(NamedTuple):
    """A batch laid out for training.

    Alignment: at position s the model has read `inputs[..., : s + 1]` and is to predict
    `targets[..., s]`, which is step s + 1 of the pattern.
    """

    inputs: Tensor
    """[B, K, T] int64: steps 0 .. T - 1."""
    targets: Tensor
    """[B, K, T] int64: steps 1 .. T; the special token where the mask is False."""
    mask: Tensor
    """[B, K, T] bool: True where the target is a frame of the clip."""


@dataclass(frozen=True)
class Pattern:
    """A codebook pattern, given by the delay of each codebook in steps."""

    delays: tuple[int, ...]

    @classmethod
    def named(cls, name: PatternName, codebooks: int) -> Pattern:
        """The pattern `name` for K codebooks.

        "delay" shifts every codebook one step behind the one before it; "parallel" shifts none;
        "stereo-delay" does so in pairs, for codebooks that alternate between left and right.
        """
        delays = {
            "delay": range(codebooks),
            "parallel": (0 for _ in range(codebooks)),
            "stereo-delay": (q // 2 for q in range(codebooks)),
        }
        return cls(tuple(delays[name]))

    @property
    def codebooks(self) -> int:
        """K."""
        return len(self.delays)

    @property
    def lag(self) -> int:
        """Steps from the first codebook's part of a frame to the last one's."""
        return max(self.delays)

    def steps(self, frames: int) -> int:
        """Length of the whole sequence for `frames` frames, the special step included."""
        return frames + 1 + self.lag

    def frame_at(self, steps: int, device: torch.device | str = "cpu") -> Tensor:
        """[K, steps] int64: the frame that a cell would hold; negative before the first."""
        delays = torch.tensor(self.delays, device=device)
        return torch.arange(steps, device=device) - 1 - delays[:, None]

    def holds(self, frames: int, steps: int, device: torch.device | str = "cpu") -> Tensor:
        """[K, steps] bool: where a cell holds one of `frames` frames, not the special token."""
        frame = self.frame_at(steps, device)
        return (frame >= 0) & (frame < frames)

    def lay_out(self, tokens: Tensor, special: int, steps: int | None = None) -> Tensor:
        """Lay frames out over steps.

        Args:
            tokens: [B, K, T] int64.
            special: The token of cells without a frame.
            steps: Length of the result; all that there are if not given.

        Returns:
            [B, K, steps] int64.
        """
        B, K, T = tokens.shape
        assert self.codebooks == K, f"{K} codebooks in a pattern for {self.codebooks}"
        steps = self.steps(T) if steps is None else steps
        if T == 0:
            return tokens.new_full((B, K, steps), special)
        frame = self.frame_at(steps, tokens.device).clamp(0, T - 1)
        held = self.holds(T, steps, tokens.device)
        return torch.where(held, tokens.gather(2, frame.expand(B, K, steps)), special)

    def revert(self, sequence: Tensor, frames: int) -> tuple[Tensor, Tensor]:
        """Take frames back out of a sequence: the inverse of `lay_out`.

        Args:
            sequence: [B, K, S] int64.
            frames: T.

        Returns:
            The tokens [B, K, T], and [K, T] bool: True where the sequence is long enough to hold
            the cell. Where it is not, the token is the last one of the sequence.
        """
        B, K, S = sequence.shape
        delays = torch.tensor(self.delays, device=sequence.device)
        step = torch.arange(frames, device=sequence.device) + 1 + delays[:, None]
        index = step.clamp(max=S - 1).expand(B, K, frames)
        return sequence.gather(2, index), step < S

    def for_training(self, tokens: Tensor, mask: Tensor, special: int) -> TrainingSequence:
        """Lay a padded batch out for training.

        Each clip is truncated after its own `frames + 1` steps, not after the batch's: a position
        with a target never reads padding, and a clip trains alike alone and beside longer ones.

        Args:
            tokens: [B, K, T] int64, any value where the mask is False.
            mask: [B, T] bool, True up to the end of the clip.
            special: The token of cells without a frame.
        """
        T = tokens.shape[-1]
        sequence = self.lay_out(tokens.masked_fill(~mask[:, None], special), special, T + 1)
        held = self.holds(T, T + 1, tokens.device)[:, 1:] & mask[:, None]
        return TrainingSequence(
            inputs=sequence[..., :-1],
            targets=sequence[..., 1:].masked_fill(~held, special),
            mask=held,
        )
