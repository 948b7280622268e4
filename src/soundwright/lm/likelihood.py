"""How likely the model holds tokens that are there: teacher-forced, window by window.

What a text explains of a sound is its pointwise mutual information with it,
log p(sound | text) - log p(sound), here as a mean over tokens. The model that made a sound can so
say how well the sound fits the text, without any other model.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from soundwright.core.protocols import TextStates
from soundwright.lm.decoding import DecodingConfig, next_window
from soundwright.lm.engine import stack_rows
from soundwright.lm.model import AudioLm
from soundwright.lm.objective import token_losses


class Likelihoods(NamedTuple):
    """How likely each sound of a batch is."""

    sums: Tensor
    """[B] fp32: sums of log-probabilities, in nats."""
    counts: Tensor
    """[B] int64: of so many tokens."""


def sum_likelihoods(
    lm: AudioLm, tokens: Tensor, mask: Tensor, text: TextStates, *, first_only: bool = False
) -> Likelihoods:
    """Log-probabilities of whole sounds, read at once, with gradients where they are enabled.

    As in training, each sound ends after its own frames, and the last ones of later codebooks
    are left out. A sound does not depend on its batch mates.

    Args:
        lm: The model.
        tokens: [B, K, T] int64 on its device, any value where the mask is False.
        mask: [B, T] bool: False beyond the end of a sound.
        text: Of the B sounds.
        first_only: Count the tokens of the first codebook alone, which is the coarsest.
    """
    sequence = lm.pattern.for_training(tokens, mask, lm.special)
    states, visible = text.states.to(tokens.device), text.mask.to(tokens.device)
    logits = lm(sequence.inputs, states, visible).logits
    books = slice(1 if first_only else None)
    counted = sequence.mask[:, books]
    losses = token_losses(logits[:, books], sequence.targets[:, books], counted)
    return Likelihoods(-losses.flatten(1).sum(1), counted.flatten(1).sum(1))


@torch.inference_mode()
def measure_likelihood(
    lm: AudioLm,
    text: TextStates,
    tokens: Tensor,
    config: DecodingConfig,
    *,
    first: int = 0,
    negative: TextStates | None = None,
) -> tuple[Tensor, Tensor]:
    """Mean log-probability of the tokens of one sound, with its text and without.

    Every token is read in the window in which `decoding.generate` would have drawn it. The last
    ones of later codebooks, which a training sequence would not hold any more, are left out.

    Args:
        lm: The model; nothing is dropped out where it is in evaluation mode.
        text: Of the one sound.
        tokens: [K, T] int64, on any device.
        config: Window and overlap; how tokens are drawn does not matter.
        first: The first frame to be counted; those before it are only read.
        negative: A text in the place of none.

    Returns:
        Two scalars in nats a token: with the text, and with the negative one or none.
    """
    device = lm.out_norm.weight.device
    states, mask = (part.to(device) for part in stack_rows(text, negative, guidance=0.0))
    frames = tokens.shape[-1]
    assert first < frames, f"frame {first} of {frames}"
    lag = lm.pattern.lag
    window = config.hold(frames, lag)
    tokens = tokens.to(device)[None]
    sums, count, done, ahead = torch.zeros(2, dtype=torch.float64), 0, first, 0
    while done < frames:
        start, stop = next_window(done, frames, window, config.primed)
        # What later codebooks lag behind is read from the frames that follow, where there are any.
        found, frame = _read(lm, states, mask, tokens[..., start : min(frames, stop + lag)])
        drawn = frame + start >= max(first, start)
        drawn[:, : done - start + ahead] = False
        sums += found[:, drawn].sum(dim=1).double().cpu()
        count += int(drawn.sum())
        done, ahead = stop, lag
    with_text, without = sums / max(1, count)
    return with_text, without


def _read(lm: AudioLm, states: Tensor, mask: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Read tokens [1, K, T] in R rows.

    Returns:
        Log-probabilities [R, K, T] of the cells of steps 1 to T, and the frames [K, T] that they
        hold; where that is negative they hold none.
    """
    steps = tokens.shape[-1] + 1
    sequence = lm.pattern.lay_out(tokens, lm.special, steps).expand(len(mask), -1, -1)
    chances = lm(sequence[..., :-1], states, mask).logits.float().log_softmax(dim=-1)
    # The special token, which has no probability, stands only in cells that hold no frame.
    targets = sequence[..., 1:].clamp_max(lm.special - 1)
    found = chances.gather(-1, targets[..., None])[..., 0]
    return found, lm.pattern.frame_at(steps, tokens.device)[:, 1:]
