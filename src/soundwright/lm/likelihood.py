"""How likely the model holds tokens that are there: teacher-forced, window by window.

What a text explains of a sound is its pointwise mutual information with it,
log p(sound | text) - log p(sound), here as a mean over tokens. The model that made a sound can so
say how well the sound fits the text, without any other model.
"""

from __future__ import annotations

import torch
from torch import Tensor

from soundwright.core.protocols import TextStates
from soundwright.lm.decoding import DecodingConfig, next_window
from soundwright.lm.engine import stack_rows
from soundwright.lm.model import AudioLm


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

    Every frame is read in the window in which `decoding.generate` would have drawn it. The last
    frames of later codebooks, which a training sequence would not hold any more, are left out.

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
    window = config.hold(frames, lm.pattern.lag)
    tokens = tokens.to(device)[None]
    sums, count, done = torch.zeros(2, dtype=torch.float64), 0, first
    while done < frames:
        start, stop = next_window(done, frames, window, config.primed)
        # What later codebooks lag behind is read from the frames that follow, where there are any.
        there = tokens[..., start : min(frames, stop + lm.pattern.lag)]
        found, held = _read(lm, states, mask, there)
        part = slice(done - start, stop - start)
        chosen = held[:, part]
        sums += found[:, :, part][:, chosen].sum(dim=1).double().cpu()
        count += int(chosen.sum())
        done = stop
    with_text, without = sums / max(1, count)
    return with_text, without


def _read(lm: AudioLm, states: Tensor, mask: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities [R, K, T] of tokens [1, K, T] in R rows, and [K, T]: which there are."""
    frames = tokens.shape[-1]
    sequence = lm.pattern.lay_out(tokens, lm.special, frames + 1)
    rows = sequence[..., :-1].expand(len(mask), -1, -1)
    chances = lm(rows, states, mask).logits.float().log_softmax(dim=-1)
    # The special token, which has no probability, stands only in cells that hold no frame.
    targets = sequence[..., 1:].clamp_max(lm.special - 1).expand(len(mask), -1, -1)
    chosen = chances.gather(-1, targets[..., None])[..., 0]
    # Step s + 1 is predicted at position s: with a step more in front, as `revert` counts.
    padded = torch.nn.functional.pad(chosen, (1, 0))
    held = lm.pattern.revert(sequence, frames)[1]
    delays = torch.tensor(lm.pattern.delays, device=tokens.device)[:, None]
    index = (torch.arange(frames, device=tokens.device) + 1 + delays).clamp_max(frames)
    return padded.gather(2, index.expand(len(mask), -1, -1)), held
